/** One HTTP/2 connection to the operator: TLS 1.3, the server's certificate verified by chain and DNS name. */
import type { Clock, Millis } from "../mesh/index.ts";
import type { ConnectionHandler, Http2Connection, Http2Error } from "../tunnel/index.ts";
import type { OperatorAddress } from "./config.ts";
import { CONNECT_TIMEOUT, errorText } from "./dial.ts";
import { Http2Socket } from "./http2-socket.ts";
import { ALPN_H2, TLS_OPTIONS } from "./judge.ts";
import { type OwnedSocket, reportDefectOf, type SocketOwner, TLS_HANDLERS, tune } from "./socket.ts";

/** A connection over which nothing came back for this long is dead (dataplane.md §2.3 has 10 s and 20 s). */
const PING_INTERVAL: Millis = 30_000;
const PING_TIMEOUT: Millis = 20_000;

export interface GrpcConnectionObserver {
  /** No new request may use it. Once, before `onClosed` at the latest. */
  onLeaving(connection: GrpcConnection): void;
  /** Nothing is left of it. Once. */
  onClosed(connection: GrpcConnection): void;
}

export class GrpcConnection implements SocketOwner, ConnectionHandler {
  /** Resolves when requests may be sent; rejects with an Error whose message says why not. */
  readonly ready: Promise<Http2Connection>;
  readonly #clock: Clock;
  readonly #observer: GrpcConnectionObserver;
  #resolve: (connection: Http2Connection) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  #timer: Disposable;
  #socket: OwnedSocket | undefined;
  #connection: Http2Connection | undefined;
  #leaving = false;
  #closed = false;

  constructor(address: OperatorAddress, roots: string, clock: Clock, observer: GrpcConnectionObserver) {
    this.#clock = clock;
    this.#observer = observer;
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = clock.after(CONNECT_TIMEOUT, () => this.#end("no connection within 10 s"));
    Bun.connect<SocketOwner>({
      hostname: address.host,
      port: address.port,
      data: this,
      socket: { ...TLS_HANDLERS, connectError: () => undefined },
      tls: {
        ca: roots,
        serverName: address.serverName,
        ALPNProtocols: ALPN_H2,
        secureOptions: TLS_OPTIONS,
        rejectUnauthorized: false,
      },
    }).catch((error: unknown) => this.#end(`connect: ${errorText(error)}`));
  }

  close(): void {
    this.#end("closed");
  }

  /** Takes no new calls and ends with the last one that is open. */
  retire(): void {
    this.#leave();
    if (this.#connection === undefined) this.#end("closed");
    else this.#connection.goAway();
  }

  opened(socket: OwnedSocket): void {
    if (this.#closed) {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    tune(socket);
  }

  handshaken(error: Error | null): void {
    const socket = this.#socket;
    if (socket === undefined || this.#closed) return;
    // Here the name counts too: only the operator's certificate carries a DNS name, and this very one.
    if (error !== null) return this.#end(`the operator's certificate was not accepted: ${errorText(error)}`);
    if (socket.alpnProtocol !== "h2") return this.#end("the operator does not speak HTTP/2");
    const onClosed = (broken: Error | undefined) => this.closed(broken);
    this.#connection = new Http2Socket(socket, {
      role: "client",
      clock: this.#clock,
      handler: this,
      onClosed,
    }).connection;
  }

  // Of the socket before there is HTTP/2 on it.

  received(): void {}
  writable(): void {}

  ended(): void {
    this.#socket?.end();
  }

  closed(error: Error | undefined): void {
    this.#end(error === undefined ? "the operator closed the connection" : errorText(error));
  }

  onStream(): undefined {
    return undefined;
  }

  onReady(): void {
    if (this.#connection === undefined || this.#closed) return;
    this.#resolve(this.#connection);
    this.#schedulePing(this.#connection);
  }

  onGoAway(): void {
    this.#leave();
  }

  onClose(error: Http2Error | undefined): void {
    reportDefectOf(error);
    this.#end(error?.message ?? "the operator's HTTP/2 connection ended");
  }

  #schedulePing(connection: Http2Connection): void {
    this.#timer[Symbol.dispose]();
    this.#timer = this.#clock.after(PING_INTERVAL, () => {
      if (connection.closed) return;
      this.#timer = this.#clock.after(PING_TIMEOUT, () => this.#end("no answer to a ping within 20 s"));
      connection.ping(() => this.#schedulePing(connection));
    });
  }

  #leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#observer.onLeaving(this);
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer[Symbol.dispose]();
    this.#reject(new Error(why));
    // `ready` may have nobody who waits for it by now.
    this.ready.catch(() => undefined);
    this.#socket?.terminate();
    this.#leave();
    this.#observer.onClosed(this);
  }
}

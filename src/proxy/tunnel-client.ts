/** The client's end of a tunnel: TCP, TLS 1.3 with our SVID, the verdict on the peer, then HTTP/2. */
import type { SpiffeId } from "../identity/index.ts";
import type { Clock, Ip, Millis, Reason } from "../mesh/index.ts";
import type { ConnectionHandler, Http2Connection, Http2Error } from "../tunnel/index.ts";
import type { TlsMaterial } from "./credentials.ts";
import { CONNECT_TIMEOUT, errorText } from "./dial.ts";
import { Http2Socket } from "./http2-socket.ts";
import { ALPN_H2, judgeServer, TLS_OPTIONS } from "./judge.ts";
import { type OwnedSocket, reportDefectOf, type SocketOwner, TLS_HANDLERS, tune } from "./socket.ts";

export interface TunnelTarget {
  readonly ip: Ip;
  /** The peer's HBONE port. */
  readonly port: number;
  /** The SPIFFE ID that the peer must prove. */
  readonly peer: SpiffeId;
}

export interface TunnelObserver {
  /** The peer is verified and its SETTINGS came: streams may open. */
  onReady(tunnel: Tunnel): void;
  /** `canOpen` became true again. */
  onCapacity(tunnel: Tunnel): void;
  /** It never became ready. Exactly one of onFailed and onClosed ends a tunnel. */
  onFailed(tunnel: Tunnel, reason: Reason, detail: string): void;
  /** It was ready and is gone, or it takes no new streams any more (GOAWAY). May come twice. */
  onClosed(tunnel: Tunnel): void;
}

/** While streams are open, a peer that vanished without a word is found by a ping. */
const PING_INTERVAL: Millis = 10_000;

export class Tunnel implements SocketOwner, ConnectionHandler {
  readonly target: TunnelTarget;
  readonly #observer: TunnelObserver;
  readonly #clock: Clock;
  /** First of the handshake, then of the next look at whether the peer is alive. */
  #timer: Disposable;
  #pingPending = false;
  #connection: Http2Connection | undefined;
  #socket: OwnedSocket | undefined;
  #state: "dialling" | "ready" | "over" = "dialling";
  #goingAway = false;

  constructor(target: TunnelTarget, tls: TlsMaterial, clock: Clock, observer: TunnelObserver) {
    this.target = target;
    this.#observer = observer;
    this.#clock = clock;
    this.#timer = clock.after(CONNECT_TIMEOUT, () => {
      if (this.#socket === undefined) this.#fail("failed-connect", "ETIMEDOUT");
      else if (this.#connection === undefined) this.#fail("failed-handshake", "no handshake within 10 s");
      else this.#fail("failed-handshake", "no HTTP/2 within 10 s");
    });
    Bun.connect<SocketOwner>({
      hostname: target.ip,
      port: target.port,
      data: this,
      socket: TUNNEL_HANDLERS,
      tls: { ...tls, ALPNProtocols: ALPN_H2, secureOptions: TLS_OPTIONS, rejectUnauthorized: false },
    }).catch((error: unknown) => this.#fail("failed-connect", errorText(error)));
  }

  /** Nothing is left of it. */
  get over(): boolean {
    return this.#state === "over";
  }

  /** The connection on which streams open; defined once the tunnel is ready. */
  get connection(): Http2Connection | undefined {
    return this.#state === "ready" ? this.#connection : undefined;
  }

  get canOpen(): boolean {
    return this.#state === "ready" && !this.#goingAway && this.#connection?.canOpen === true;
  }

  get openStreams(): number {
    return this.#connection?.openStreams ?? 0;
  }

  /** Takes no new streams; closes when those that are open have ended. */
  retire(): void {
    this.#goingAway = true;
    this.#connection?.goAway();
  }

  /** Cuts everything. */
  destroy(): void {
    this.#connection?.destroy();
    this.#fail("failed-connect", "closed");
    this.#socket?.terminate();
  }

  // The socket.

  opened(socket: OwnedSocket): void {
    if (this.#state === "over") {
      socket.terminate();
      return;
    }
    this.#socket = socket;
    tune(socket);
  }

  handshaken(error: Error | null): void {
    const socket = this.#socket;
    if (socket === undefined || this.#state !== "dialling") return;
    const verdict = judgeServer(socket, error, this.target.peer);
    // In TLS 1.3 the reset leaves before our certificate does.
    if (!verdict.ok) return this.#fail(verdict.reason, verdict.detail);
    const onClosed = () => {
      this.#fail("failed-handshake", "the peer closed the tunnel before it was up: see the reason in its log");
      this.#gone();
    };
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
    this.#fail("failed-handshake", error === undefined ? "closed by the peer" : errorText(error));
  }

  // HTTP/2.

  onStream(): undefined {
    // A client takes no streams: push is off (RFC 9113 §8.4).
    return undefined;
  }

  onReady(): void {
    if (this.#state !== "dialling") return;
    this.#state = "ready";
    this.#watch();
    this.#observer.onReady(this);
  }

  onCapacity(): void {
    if (this.canOpen) this.#observer.onCapacity(this);
  }

  onGoAway(): void {
    this.#goingAway = true;
    if (this.#state === "ready") this.#observer.onClosed(this);
  }

  onClose(error: Http2Error | undefined): void {
    reportDefectOf(error);
    this.#fail("failed-handshake", "the peer's HTTP/2 broke");
    this.#gone();
  }

  #watch(): void {
    this.#timer[Symbol.dispose]();
    this.#timer = this.#clock.after(PING_INTERVAL, () => {
      if (this.#pingPending) {
        this.destroy();
        return;
      }
      if (this.openStreams > 0) {
        this.#pingPending = true;
        this.#connection?.ping(() => {
          this.#pingPending = false;
        });
      }
      this.#watch();
    });
  }

  #fail(reason: Reason, detail: string): void {
    if (this.#state !== "dialling") return;
    this.#timer[Symbol.dispose]();
    this.#state = "over";
    this.#socket?.terminate();
    this.#observer.onFailed(this, reason, detail);
  }

  #gone(): void {
    if (this.#state !== "ready") return;
    this.#timer[Symbol.dispose]();
    this.#state = "over";
    this.#observer.onClosed(this);
  }
}

const TUNNEL_HANDLERS = {
  ...TLS_HANDLERS,
  connectError(): void {
    // The promise rejects with the same error.
  },
};

/** The other end of a TLS connection of the proxy, in the test's hand: server or client, HTTP/2 or bytes alone. */
import { parseCertificate } from "../identity/index.ts";
import {
  type ByteTransport,
  type HeaderList,
  Http2Connection,
  type Http2Stream,
  type LocalSettings,
  type StreamHandler,
} from "../tunnel/index.ts";
import { EventLog } from "./http2-peer.ts";

/** PEM; without certificate and key a client presents nothing. */
export interface TlsPeerIdentity {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

export interface TlsPeerOptions {
  /** Protocols to offer or to choose from; default h2. */
  readonly alpn?: string;
  /** It says nothing after the handshake: no HTTP/2. */
  readonly mute?: boolean;
  readonly settings?: Partial<LocalSettings>;
  /** Server: answers a request; by default everything is refused with 503. */
  readonly serve?: (stream: Http2Stream, headers: HeaderList) => StreamHandler | undefined;
  /** `secureOptions` of OpenSSL: which versions are off. */
  readonly secureOptions?: number;
}

/** One connection. */
export class TlsPeer implements ByteTransport {
  readonly log = new EventLog();
  readonly closed = Promise.withResolvers<void>();
  /** What came, if it is mute. */
  readonly bytes: Uint8Array[] = [];
  /** What its TLS said of the other end's certificate. */
  verdict: NodeJS.ErrnoException | null = null;
  readonly #role: "client" | "server";
  readonly #options: TlsPeerOptions;
  #socket: Bun.Socket<TlsPeer> | undefined;
  #connection: Http2Connection | undefined;

  constructor(role: "client" | "server", options: TlsPeerOptions) {
    this.#role = role;
    this.#options = options;
    this.log.serve = options.serve ?? refuse;
  }

  /** Of the certificate that the other end presented, as identity/ writes it. */
  get serial(): string {
    const read = this.#socket?.getPeerCertificate as ((detailed: boolean) => { raw: Uint8Array }) | undefined;
    const raw = read?.call(this.#socket, true).raw;
    return raw === undefined ? "" : parseCertificate(raw).serial;
  }

  get connection(): Http2Connection {
    if (this.#connection === undefined) throw new Error("there is no HTTP/2 on it");
    return this.#connection;
  }

  bind(socket: Bun.Socket<TlsPeer>): void {
    this.#socket = socket;
  }

  secured(): void {
    if (this.#options.mute === true) return;
    this.#connection = new Http2Connection({
      role: this.#role,
      transport: this,
      handler: this.log,
      ...(this.#options.settings === undefined ? {} : { settings: this.#options.settings }),
    });
  }

  receive(chunk: Uint8Array): void {
    if (this.#connection === undefined) this.bytes.push(chunk);
    else this.#connection.receive(chunk);
  }

  drained(): void {
    this.#connection?.transportWritable();
  }

  gone(): void {
    queueMicrotask(() => this.#connection?.transportClosed());
    this.closed.resolve();
  }

  write(bytes: Uint8Array): number {
    return Math.max(0, this.#socket?.write(bytes) ?? 0);
  }
  close(): void {
    this.#socket?.end();
  }
  destroy(): void {
    this.#socket?.terminate();
  }
  pauseReading(): void {
    this.#socket?.pause();
  }
  resumeReading(): void {
    this.#socket?.resume();
  }
}

/** Takes a request and what comes on it, and says nothing. */
export const SILENT: StreamHandler = {
  onHeaders() {},
  onData(stream, chunk) {
    stream.consume(chunk.length);
  },
  onEnd() {},
  onReset() {},
  onWritable() {},
};

function refuse(stream: Http2Stream): undefined {
  stream.respond([[":status", "503"]], true);
  return undefined;
}

const HANDLERS = {
  data: (socket: Bun.Socket<TlsPeer>, chunk: Buffer) => socket.data.receive(chunk),
  drain: (socket: Bun.Socket<TlsPeer>) => socket.data.drained(),
  close: (socket: Bun.Socket<TlsPeer>) => socket.data.gone(),
  error: (socket: Bun.Socket<TlsPeer>) => void socket.terminate(),
};

/** A TLS server. */
export class TlsServer implements Disposable {
  readonly peers: TlsPeer[] = [];
  readonly #listener: Bun.TCPSocketListener<TlsPeer>;
  readonly #waiting: { readonly count: number; readonly resolve: (peer: TlsPeer) => void }[] = [];

  constructor(hostname: string, port: number, identity: TlsPeerIdentity, options: TlsPeerOptions = {}) {
    this.#listener = Bun.listen<TlsPeer>({
      hostname,
      port,
      tls: { ...tlsOf(identity, options), requestCert: identity.ca !== undefined, rejectUnauthorized: false },
      socket: {
        ...HANDLERS,
        open: (socket) => {
          const peer = new TlsPeer("server", options);
          peer.bind(socket);
          socket.data = peer;
          this.peers.push(peer);
        },
        handshake: (socket) => {
          socket.data.secured();
          for (const waiter of this.#waiting.splice(0)) this.#serve(waiter.count, waiter.resolve);
        },
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** The `count`-th connection (the first is 1), once its handshake is done. */
  nth(count: number): Promise<TlsPeer> {
    return new Promise((resolve) => this.#serve(count, resolve));
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }

  #serve(count: number, resolve: (peer: TlsPeer) => void): void {
    const peer = this.peers[count - 1];
    if (peer === undefined) this.#waiting.push({ count, resolve });
    else resolve(peer);
  }
}

/** A TLS client; resolves when the handshake is done at its end, which in TLS 1.3 says nothing of the server's verdict. */
export async function connectTls(
  hostname: string,
  port: number,
  identity: TlsPeerIdentity,
  options: TlsPeerOptions = {},
): Promise<TlsPeer> {
  const peer = new TlsPeer("client", options);
  const done = Promise.withResolvers<void>();
  await Bun.connect<TlsPeer>({
    hostname,
    port,
    data: peer,
    tls: { ...tlsOf(identity, options), rejectUnauthorized: false },
    socket: {
      ...HANDLERS,
      open: (socket) => socket.data.bind(socket),
      handshake: (socket, _success, verdict) => {
        socket.data.verdict = verdict;
        socket.data.secured();
        done.resolve();
      },
      close: (socket) => {
        socket.data.gone();
        done.resolve();
      },
    },
  });
  await done.promise;
  return peer;
}

function tlsOf(identity: TlsPeerIdentity, options: TlsPeerOptions): Bun.TLSOptions {
  const { alpn = "h2", secureOptions } = options;
  return {
    ...identity,
    ...(alpn === "" ? {} : { ALPNProtocols: `${String.fromCharCode(alpn.length)}${alpn}` }),
    ...(secureOptions === undefined ? {} : { secureOptions }),
  };
}

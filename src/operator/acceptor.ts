/**
 * Accepts TLS connections with whatever certificate is the newest at that moment (Bun's servers cannot change theirs,
 * and `setSecureContext` on a listener is not to be trusted) and hands each on as a Node stream.
 */
import type { Duplex } from "node:stream";
import { type Clock, formatAuthority, type Logger, type Millis, parseIp, SourceLimit } from "../mesh/index.ts";
import { OperatorError } from "./errors.ts";
import type { ServerMaterial } from "./server-certificate.ts";
import { type SocketEvents, TlsDuplex } from "./tls-duplex.ts";

export interface AcceptorOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly what: string;
  /** The one protocol that is spoken; a client that offers others alone is cut off. */
  readonly protocol: "h2" | "http/1.1";
  readonly material: () => ServerMaterial;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onConnection: (connection: Duplex) => void;
  /** Places of one source, where they are to be others than below. */
  readonly ofASource?: { readonly handshakes: number; readonly connections: number };
}

const HANDSHAKE_LIMIT: Millis = 10_000;
/** Connections that have not shown who they are yet; more are closed at once. */
const MOST_HANDSHAKES = 1_024;
/** And of one source, so that one pod cannot keep all others out. */
const HANDSHAKES_OF_A_SOURCE = 128;
/** Open connections of one source: more than the pods of a node, whose traffic may come from its one address. */
const CONNECTIONS_OF_A_SOURCE = 512;
/** SSL_OP_NO_TLSv1, _1_1 and _1_2; SSL_OP_NO_TICKET: each handshake shows the certificate of now. */
const TLS_1_3_WITHOUT_TICKETS = 0x04000000 | 0x08000000 | 0x10000000 | 0x4000;
/** ALPN in wire form: Bun does not understand the text form. */
const ALPN = { h2: Buffer.from("\x02h2"), "http/1.1": Buffer.from("\x08http/1.1") } as const;
const KEEP_ALIVE_AFTER: Millis = 60_000;

type Owned = Bun.Socket<SocketEvents>;

export class TlsAcceptor implements Disposable {
  readonly #options: AcceptorOptions;
  readonly #listeners: Bun.TCPSocketListener<SocketEvents>[] = [];
  readonly #handshaking = new Set<Owned>();
  readonly #handshakes: SourceLimit;
  readonly #connections: SourceLimit;
  readonly #open = new Set<TlsDuplex>();

  /** Binds at once, on every host. Throws OperatorError `bind-failed`. */
  constructor(options: AcceptorOptions) {
    this.#options = options;
    this.#handshakes = new SourceLimit(options.ofASource?.handshakes ?? HANDSHAKES_OF_A_SOURCE);
    this.#connections = new SourceLimit(options.ofASource?.connections ?? CONNECTIONS_OF_A_SOURCE);
    try {
      for (const host of options.hosts) this.#listeners.push(this.#listen(host));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get port(): number {
    return this.#listeners[0]?.port ?? 0;
  }

  /** Takes nothing new, and cuts what is open. */
  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.stop();
    for (const socket of this.#handshaking) socket.terminate();
    for (const duplex of this.#open) duplex.destroy();
  }

  #listen(host: string): Bun.TCPSocketListener<SocketEvents> {
    const { port, what } = this.#options;
    try {
      return Bun.listen<SocketEvents>({
        hostname: host,
        port,
        data: NOBODY,
        // Without a `data` callback the plain half of an upgraded socket does not copy every chunk.
        socket: { open: (socket) => this.#accept(socket), drain() {}, error() {} },
      });
    } catch (cause) {
      const why = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
      const ip = parseIp(host);
      const where = ip === undefined ? `${host}:${port}` : formatAuthority(ip, port);
      const hint = why === "EADDRINUSE" ? { hint: "another process listens there: end it" } : {};
      throw new OperatorError("bind-failed", `cannot listen on ${where} (${what}): ${why}`, { ...hint, cause });
    }
  }

  #accept(plain: Owned): void {
    const source = plain.remoteAddress;
    if (this.#handshaking.size >= MOST_HANDSHAKES || !this.#handshakes.take(source)) {
      plain.terminate();
      return;
    }
    plain.setNoDelay(true);
    plain.setKeepAlive(true, KEEP_ALIVE_AFTER);
    try {
      this.#shakeHands(plain);
    } catch (cause) {
      // Bun would swallow it and keep the socket open.
      const { logger, what } = this.#options;
      logger.log("error", "a handshake could not start", { what, error: String(cause) });
      this.#handshakes.give(source);
      plain.terminate();
    }
  }

  #shakeHands(plain: Owned): void {
    const { material, clock, protocol } = this.#options;
    const source = plain.remoteAddress;
    let deadline: Disposable | undefined;
    const over = (socket: Owned) => {
      deadline?.[Symbol.dispose]();
      if (this.#handshaking.delete(socket)) this.#handshakes.give(source);
    };
    const [, socket] = plain.upgradeTLS<SocketEvents>({
      data: NOBODY,
      socket: {
        handshake: (one: Owned, _success: boolean, error: Error | null) => {
          over(one);
          this.#established(one, error);
        },
        data: (one: Owned, chunk: Buffer) => one.data.received(chunk),
        drain: (one: Owned) => one.data.drained(),
        close: (one: Owned, error?: Error) => {
          over(one);
          one.data.hungUp(error);
        },
        error: (one: Owned) => one.terminate(),
      },
      tls: {
        ...material(),
        isServer: true,
        ALPNProtocols: ALPN[protocol],
        secureOptions: TLS_1_3_WITHOUT_TICKETS,
      } as Bun.TLSOptions,
    });
    this.#handshaking.add(socket);
    deadline = clock.after(HANDSHAKE_LIMIT, () => socket.terminate());
  }

  /** A client that offers no protocol speaks HTTP/1.1. */
  #agreed({ alpnProtocol }: Owned): boolean {
    const { protocol } = this.#options;
    const none = typeof alpnProtocol !== "string" || alpnProtocol === "";
    return alpnProtocol === protocol || (protocol === "http/1.1" && none);
  }

  #established(socket: Owned, error: Error | null): void {
    // The client shows no certificate, so a verdict on it says nothing here; a broken handshake does.
    const broken = error !== null && "code" in error && /^(ERR_SSL|EPROTO|ECONN)/.test(String(error.code));
    if (broken || !this.#agreed(socket)) {
      socket.terminate();
      return;
    }
    const source = socket.remoteAddress;
    if (!this.#connections.take(source)) {
      socket.terminate();
      return;
    }
    const duplex = new TlsDuplex(socket);
    socket.data = duplex;
    this.#open.add(duplex);
    duplex.on("close", () => {
      if (this.#open.delete(duplex)) this.#connections.give(source);
    });
    // A connection that breaks is the end of its calls, which hear of it themselves.
    duplex.on("error", (cause) =>
      this.#options.logger.log("debug", "a connection broke", { what: this.#options.what, error: cause.message }),
    );
    this.#options.onConnection(duplex);
  }
}

/** The owner of a socket whose handshake is not over. */
const NOBODY: SocketEvents = {
  received: () => undefined,
  drained: () => undefined,
  hungUp: () => undefined,
};

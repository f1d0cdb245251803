/**
 * A peer of a tunnel port with a certificate of the mesh that says frame by frame what a test wants, also what no peer may
 * say: the attacker from within. It acknowledges SETTINGS and answers PINGs unless told not to.
 */
import { PORTS } from "../mesh/index.ts";
import { HpackDecoder } from "../tunnel/index.ts";
import { cutFrames, frame, frames, PREFACE, type RawFrame } from "./http2-peer.ts";

/** PEM. */
interface Identity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface RawTunnelOptions {
  readonly ip: string;
  /** Default: the mesh's tunnel port. */
  readonly port?: number;
  readonly identity: Identity;
  readonly settings?: readonly (readonly [id: number, value: number])[];
  /** It does not read: nothing that comes is taken from the socket once both ends' SETTINGS were exchanged. */
  readonly deaf?: true;
  readonly answersPings?: false;
}

/** What a flood writes at a time, bytes. */
const PIECE = 64 * 1024;

export class RawTunnel implements Disposable {
  readonly #role: "client" | "server";
  readonly #options: Pick<RawTunnelOptions, "settings" | "deaf" | "answersPings">;
  #prefaceLeft: number;
  readonly #socket = Promise.withResolvers<Bun.Socket<RawTunnel>>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #decoder = new HpackDecoder({ listBytes: 1 << 20, fields: 10_000 });
  readonly #waiting: { readonly holds: () => boolean; readonly resolve: () => void }[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #drained: PromiseWithResolvers<void> | undefined;
  #over = false;
  /** Frames that came, DATA without its payload. */
  readonly frames: RawFrame[] = [];
  /** Bytes of DATA that came, by stream. */
  readonly received = new Map<number, number>();
  /** Status of each stream that was answered, and the reason's word behind it. */
  readonly answers = new Map<number, string>();

  constructor(role: "client" | "server", options: Pick<RawTunnelOptions, "settings" | "deaf" | "answersPings"> = {}) {
    this.#role = role;
    this.#options = options;
    this.#prefaceLeft = role === "server" ? PREFACE.length : 0;
  }

  /** Resolves when the SETTINGS of both ends were exchanged; rejects when the tunnel is closed before. */
  static async open(options: RawTunnelOptions): Promise<RawTunnel> {
    const tunnel = new RawTunnel("client", options);
    const { ip, port = PORTS.hbone, identity } = options;
    await Bun.connect<RawTunnel>({ hostname: ip, port, data: tunnel, tls: tlsOf(identity), socket: HANDLERS });
    return await tunnel.ready();
  }

  /** Resolves when the SETTINGS of both ends were exchanged; rejects when the tunnel is closed before. */
  async ready(): Promise<RawTunnel> {
    await Promise.race([this.#ready.promise, this.#closed.promise]);
    if (this.closed) throw new Error("the tunnel was closed before it was up");
    return this;
  }

  get closed(): boolean {
    return this.#over;
  }

  /** The other end's last word: the code and the text of its last GOAWAY. */
  get goAway(): { readonly code: number; readonly debug: string } | undefined {
    const last = this.frames.findLast(({ type }) => type === "GOAWAY");
    return last === undefined
      ? undefined
      : { code: last.payload.readUInt32BE(4), debug: last.payload.toString("latin1", 8) };
  }

  /** The code of the RST_STREAM that came for the stream. */
  resetOf(stream: number): number | undefined {
    return this.frames.find((one) => one.type === "RST_STREAM" && one.stream === stream)?.payload.readUInt32BE(0);
  }

  /** Sends all; resolves when the kernel has taken it, or the tunnel is closed. */
  async send(...parts: readonly Uint8Array[]): Promise<void> {
    const socket = await this.#socket.promise;
    let rest = Buffer.concat(parts);
    while (!this.#over) {
      rest = rest.subarray(Math.max(0, socket.write(rest)));
      if (rest.length === 0) return;
      this.#drained ??= Promise.withResolvers<void>();
      await Promise.race([this.#drained.promise, this.#closed.promise]);
    }
  }

  /**
   * Sends what `make` gives for 0, 1, … `count - 1` as fast as the other end takes it. Answers how many were given out when the
   * tunnel was closed.
   */
  async flood(count: number, make: (i: number) => Uint8Array): Promise<number> {
    let i = 0;
    while (i < count && !this.#over) {
      const piece: Uint8Array[] = [];
      for (let size = 0; i < count && size < PIECE; i++) {
        const one = make(i);
        piece.push(one);
        size += one.length;
      }
      await this.send(...piece);
      // A turn of the event loop, so that what came is read.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return i;
  }

  /** Resolves once something holds, looked at after each piece that came; also when the tunnel is closed. */
  until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (holds() || this.#over) resolve();
      else this.#waiting.push({ holds, resolve });
    });
  }

  /** Resolves when the other end has closed the tunnel. */
  end(): Promise<void> {
    return this.#closed.promise;
  }

  [Symbol.dispose](): void {
    this.#over = true;
    void this.#socket.promise.then((socket) => socket.terminate());
  }

  // What the socket tells.

  secured(socket: Bun.Socket<RawTunnel>): void {
    this.#socket.resolve(socket);
    const preface = this.#role === "client" ? [Buffer.from(PREFACE)] : [];
    void this.send(...preface, frames.settings(...(this.#options.settings ?? [])));
  }

  receive(socket: Bun.Socket<RawTunnel>, chunk: Buffer): void {
    const found: RawFrame[] = [];
    const bytes = Buffer.concat([this.#bytes, chunk]);
    const skipped = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= skipped;
    this.#bytes = cutFrames(bytes.subarray(skipped), found);
    for (const one of found) this.#take(socket, one);
    this.#look();
  }

  drained(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  gone(): void {
    this.#over = true;
    this.#closed.resolve();
    this.#look();
  }

  #take(socket: Bun.Socket<RawTunnel>, one: RawFrame): void {
    const { type, flags, stream, payload } = one;
    switch (type) {
      case "DATA":
        this.received.set(stream, (this.received.get(stream) ?? 0) + payload.length);
        this.frames.push({ ...one, payload: Buffer.alloc(0) });
        return;
      case "HEADERS": {
        const { headers } = this.#decoder.decode(payload);
        this.answers.set(stream, headers.map(([, value]) => value).join(" "));
        break;
      }
      case "SETTINGS":
        if ((flags & 1) !== 0) {
          if (this.#options.deaf === true) socket.pause();
          this.#ready.resolve();
        } else void this.send(frames.settingsAck());
        break;
      case "PING":
        if ((flags & 1) === 0 && this.#options.answersPings !== false) {
          void this.send(frame("PING", 1, 0, payload));
        }
        break;
    }
    // A copy: the payload is a view of all that came with it.
    this.frames.push({ ...one, payload: Buffer.from(payload) });
  }

  #look(): void {
    for (const waiter of [...this.#waiting]) {
      if (!this.#over && !waiter.holds()) continue;
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      waiter.resolve();
    }
  }
}

/** Proxies dial it; each connection is a tunnel in the test's hand. */
export class RawTunnelServer implements Disposable {
  readonly #listener: Bun.TCPSocketListener<RawTunnel>;
  readonly #first = Promise.withResolvers<RawTunnel>();

  constructor(ip: string, port: number, identity: Identity) {
    this.#listener = Bun.listen<RawTunnel>({
      hostname: ip,
      port,
      tls: { ...tlsOf(identity), requestCert: true },
      socket: {
        ...HANDLERS,
        open: (socket) => {
          socket.data = new RawTunnel("server");
          this.#first.resolve(socket.data);
        },
      },
    });
  }

  /** The first tunnel, when the SETTINGS of both ends were exchanged. */
  async first(): Promise<RawTunnel> {
    return await (await this.#first.promise).ready();
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true);
  }
}

const HANDLERS = {
  handshake: (socket: Bun.Socket<RawTunnel>) => socket.data.secured(socket),
  data: (socket: Bun.Socket<RawTunnel>, chunk: Buffer) => socket.data.receive(socket, chunk),
  drain: (socket: Bun.Socket<RawTunnel>) => socket.data.drained(),
  close: (socket: Bun.Socket<RawTunnel>) => socket.data.gone(),
  error: (socket: Bun.Socket<RawTunnel>) => void socket.terminate(),
};

function tlsOf({ cert, key, ca }: Identity): Bun.TLSOptions {
  return { cert, key, ca, rejectUnauthorized: false, ALPNProtocols: Buffer.from("\x02h2") } as Bun.TLSOptions;
}

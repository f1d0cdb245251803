/** An HTTP/2 peer that says frame by frame what a test wants, also what no peer may say, and shows each frame it gets. */
import {
  type ByteTransport,
  type ConnectionHandler,
  encodeHeaders,
  type HeaderList,
  HpackDecoder,
  Http2Connection,
  type Http2Error,
  type Http2Stream,
  type LocalSettings,
  type StreamHandler,
} from "../tunnel/index.ts";
import { FakeClock } from "./fake-clock.ts";

/** What a client says first (RFC 9113 §3.4). */
export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TYPES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY"] as const;
const MORE_TYPES = ["WINDOW_UPDATE", "CONTINUATION"] as const;
const NAMES: readonly string[] = [...TYPES, ...MORE_TYPES];
export type FrameName = (typeof TYPES)[number] | (typeof MORE_TYPES)[number];

export interface RawFrame {
  /** A name of RFC 9113 §6, or `type N`. */
  readonly type: string;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

export function frame(type: FrameName | number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = typeof type === "number" ? type : NAMES.indexOf(type);
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Adds the whole frames of `bytes` to `found` and returns what is left behind them. */
export function cutFrames(bytes: Buffer, found: RawFrame[]): Buffer {
  let at = 0;
  while (bytes.length - at >= 9) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (bytes.length < end) break;
    const number = bytes[at + 3] ?? 0;
    const payload = bytes.subarray(at + 9, end);
    const stream = bytes.readUInt32BE(at + 5);
    found.push({ type: NAMES[number] ?? `type ${number}`, flags: bytes[at + 4] ?? 0, stream, payload });
    at = end;
  }
  return bytes.subarray(at);
}

/** The frames of RFC 9113 §6 in short. A field block comes from a table of its own and indexes nothing twice. */
export const frames = {
  data: (stream: number, bytes: Uint8Array | string, end = false) =>
    frame("DATA", end ? 1 : 0, stream, Buffer.from(bytes as string)),
  headers: (stream: number, headers: HeaderList, end = false) =>
    frame("HEADERS", end ? 5 : 4, stream, encodeHeaders(headers)),
  reset: (stream: number, code: number) => frame("RST_STREAM", 0, stream, uint32(code)),
  settings: (...pairs: readonly (readonly [id: number, value: number])[]) => {
    const payload = Buffer.alloc(pairs.length * 6);
    for (const [index, [id, value]] of pairs.entries()) {
      payload.writeUInt16BE(id, index * 6);
      payload.writeUInt32BE(value, index * 6 + 2);
    }
    return frame("SETTINGS", 0, 0, payload);
  },
  settingsAck: () => frame("SETTINGS", 1, 0),
  ping: (text: string, ack = false) => frame("PING", ack ? 1 : 0, 0, Buffer.from(text)),
  goAway: (last: number, code: number) => frame("GOAWAY", 0, 0, uint32(last, code)),
  windowUpdate: (stream: number, increment: number) => frame("WINDOW_UPDATE", 0, stream, uint32(increment)),
};

/** What happened on a stream or a connection, in order, as short sentences: `3 data 5`, `3 end`, `3 reset 8`, `close`. */
export class EventLog implements StreamHandler, ConnectionHandler {
  readonly events: string[] = [];
  readonly streams: Http2Stream[] = [];
  readonly errors: Http2Error[] = [];
  /** What came on each stream. */
  readonly received = new Map<number, Buffer>();
  /** Whether what comes is consumed at once. */
  consumes = true;
  /** Server: what to do with a request before it is handed on. */
  serve: ((stream: Http2Stream, headers: HeaderList) => StreamHandler | undefined) | undefined;
  writable: ((stream: Http2Stream) => void) | undefined;
  ended: ((stream: Http2Stream) => void) | undefined;
  closeError: Http2Error | undefined;
  readonly #waiting: { readonly event: RegExp; readonly resolve: (event: string) => void }[] = [];

  onStream(stream: Http2Stream, headers: HeaderList, endStream: boolean): StreamHandler | undefined {
    this.#add(`${stream.id} request ${show(headers)}${endStream ? " end-stream" : ""}`);
    this.streams.push(stream);
    return this.serve === undefined ? this : this.serve(stream, headers);
  }
  onHeaders(stream: Http2Stream, headers: HeaderList, endStream: boolean): void {
    this.#add(`${stream.id} head ${show(headers)}${endStream ? " end-stream" : ""}`);
  }
  onTrailers(stream: Http2Stream, headers: HeaderList): void {
    this.#add(`${stream.id} trailers ${show(headers)}`);
  }
  onData(stream: Http2Stream, chunk: Uint8Array): void {
    this.#add(`${stream.id} data ${chunk.length}`);
    this.received.set(stream.id, Buffer.concat([this.received.get(stream.id) ?? Buffer.alloc(0), chunk]));
    if (this.consumes) stream.consume(chunk.length);
  }
  onEnd(stream: Http2Stream): void {
    this.#add(`${stream.id} end`);
    this.ended?.(stream);
  }
  onReset(stream: Http2Stream, code: number): void {
    this.#add(`${stream.id} reset ${code}`);
  }
  onWritable(stream: Http2Stream): void {
    this.#add(`${stream.id} writable`);
    this.writable?.(stream);
  }
  onReady(): void {
    this.#add("ready");
  }
  onCapacity(): void {
    this.#add("capacity");
  }
  onGoAway(code: number): void {
    this.#add(`goaway ${code}`);
  }
  onStreamError(streamId: number, error: Http2Error): void {
    this.errors.push(error);
    this.#add(`${streamId} error ${error.code}`);
  }
  onClose(error: Http2Error | undefined): void {
    this.closeError = error;
    this.#add(error === undefined ? "close" : `close ${error.code}`);
  }
  /** The first event that matches, of those that came or as soon as it comes. */
  until(event: RegExp): Promise<string> {
    return new Promise((resolve) => {
      const before = this.events.find((one) => event.test(one));
      if (before === undefined) this.#waiting.push({ event, resolve });
      else resolve(before);
    });
  }
  /** The events since the last call. */
  take(): string[] {
    return this.events.splice(0);
  }

  #add(event: string): void {
    this.events.push(event);
    for (const waiter of this.#waiting.filter((one) => one.event.test(event))) {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      waiter.resolve(event);
    }
  }
}

function show(headers: HeaderList): string {
  return headers.map(([name, value]) => `${name}=${value}`).join(" ");
}

/** The connection under test, its transport in the test's hand. */
export class Http2Peer implements ByteTransport {
  readonly connection: Http2Connection;
  readonly log = new EventLog();
  readonly clock = new FakeClock();
  /** Bytes that the transport still takes; Infinity unless a test sets it. */
  room = Number.POSITIVE_INFINITY;
  /** Length of each transport write that took something. */
  readonly writes: number[] = [];
  state: "open" | "closed" | "destroyed" = "open";
  #bytes: Buffer = Buffer.alloc(0);
  #prefaceSeen: boolean;
  readonly #decoder = new HpackDecoder({ listBytes: 1 << 20, fields: 10_000 });

  /** `role`: of the connection under test. */
  constructor(role: "client" | "server", local: Partial<LocalSettings> = {}) {
    this.#prefaceSeen = role === "server";
    this.connection = new Http2Connection({
      role,
      transport: this,
      handler: this.log,
      settings: local,
      clock: this.clock,
    });
  }

  /** Preface and SETTINGS of both ends are over and done with; no frame and no event of them is left to see. */
  static async ready(
    role: "client" | "server",
    local: Partial<LocalSettings> = {},
    ...pairs: readonly (readonly [id: number, value: number])[]
  ): Promise<Http2Peer> {
    const peer = new Http2Peer(role, local);
    if (role === "server") peer.connection.receive(Buffer.from(PREFACE));
    await peer.send(frames.settings(...pairs), frames.settingsAck());
    peer.frames();
    peer.writes.length = 0;
    peer.log.take();
    return peer;
  }

  /** Delivers the frames in one chunk and lets the turn end. */
  async send(...parts: readonly Uint8Array[]): Promise<void> {
    this.connection.receive(Buffer.concat(parts));
    await this.turn();
  }

  /** Lets the event-loop turn end, in which frames are written. */
  async turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** Gives the transport room for `bytes` more and says so. */
  async drain(bytes: number): Promise<void> {
    this.room = bytes;
    this.connection.transportWritable();
    await this.turn();
  }

  /** The whole frames that came since the last call. */
  frames(): RawFrame[] {
    const found: RawFrame[] = [];
    if (!this.#prefaceSeen && this.#bytes.length >= PREFACE.length) {
      if (this.#bytes.toString("latin1", 0, PREFACE.length) !== PREFACE) throw new Error("the preface is wrong");
      this.#bytes = this.#bytes.subarray(PREFACE.length);
      this.#prefaceSeen = true;
    }
    this.#bytes = cutFrames(this.#bytes, found);
    return found;
  }

  /**
   * The same as short sentences: `3 HEADERS :status=200 end`, `3 DATA 5`, `3 RST_STREAM 8`, `GOAWAY 0 1`. Field blocks
   * must be whole and are decoded in their order.
   */
  seen(): string[] {
    return this.frames().map((frame) => {
      const { type, flags, stream, payload } = frame;
      const end = (flags & 1) !== 0;
      const where = stream === 0 ? type : `${stream} ${type}`;
      switch (type) {
        case "HEADERS":
          return `${where} ${show(this.#decoder.decode(payload).headers)}${end ? " end" : ""}`;
        case "DATA":
          return `${where} ${payload.length}${end ? " end" : ""}`;
        case "RST_STREAM":
        case "WINDOW_UPDATE":
          return `${where} ${payload.readUInt32BE(0)}`;
        case "GOAWAY":
          return `${where} ${payload.readUInt32BE(0)} ${payload.readUInt32BE(4)}`;
        case "PING":
          return `${where}${end ? " ack" : ""}`;
        case "SETTINGS":
          return `${where}${end ? " ack" : ""}`;
        default:
          return where;
      }
    });
  }

  /** The code of the GOAWAY that the connection under test sent and with which it closed; undefined without one. */
  verdict(): number | undefined {
    const last = this.frames().findLast((sent) => sent.type === "GOAWAY");
    return this.connection.closed ? last?.payload.readUInt32BE(4) : undefined;
  }

  write(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    if (taken > 0) {
      this.writes.push(taken);
      this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, taken)]);
    }
    return taken;
  }
  close(): void {
    this.state = "closed";
  }
  destroy(): void {
    this.state = "destroyed";
  }
  pauseReading(): void {}
  resumeReading(): void {}
}

/**
 * A whole connection of tunnel/ under an input: what a peer sends, cut anywhere, while turns end, the transport blocks, the clock
 * moves and the code above answers. Judges every frame that the connection sends and every callback that it makes.
 */
import { FakeClock } from "../../src/testkit/fake-clock.ts";
import { cutFrames, frame, frames, PREFACE, type RawFrame } from "../../src/testkit/http2-peer.ts";
import {
  type ByteTransport,
  type ConnectionHandler,
  ERROR_CODES,
  encodeHeaders,
  type HeaderList,
  Http2Connection,
  Http2Error,
  type Http2Stream,
  type LocalSettings,
  type StreamHandler,
} from "../../src/tunnel/index.ts";
import { Dice } from "./dice.ts";
import { mutateFrames } from "./http2-frames.ts";
import { Judge } from "./http2-judge.ts";
import { BEHAVIOURS, type Behaviour, Watcher } from "./http2-watcher.ts";
import { promise, same, type Target, unlessRefused } from "./target.ts";

/** In front of the frames: bits of `OPTION`, and the seed of everything that happens beside them. */
const HEAD_BYTES = 3;
const OPTION = {
  /** Not even the preface is right by itself. */
  bare: 1,
  /** The transport takes nothing until all has come. */
  blocked: 2,
  /** What comes is not consumed. */
  hoards: 4,
  /** What the code above does with a stream, two bits. */
  behaviour: 8,
  /** It leaves on the way. */
  leaves: 32,
  /** Cut differently, the same must come of it: nothing else happens. */
  compared: 64,
  /** The last frame comes many times more: it reaches windows and budgets. */
  repeats: 128,
} as const;
const REPEATS = 300;
/** Small, so that short inputs reach the limits. */
const LOCAL: Partial<LocalSettings> = {
  streamWindow: 65_535,
  connectionWindow: 70_000,
  maxConcurrentStreams: 4,
  maxHeaderListSize: 1024,
  maxHeaderFields: 16,
};
const MOST_REQUESTS = 3;
const REQUEST: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.9:80"],
];

/** The target of one role; `examples`: frames that the peer sends after its SETTINGS. */
export function connectionTarget(role: "client" | "server", examples: readonly (readonly Uint8Array[])[]): Target {
  const opening = Buffer.concat([frames.settings([4, 100_000]), frames.settingsAck()]);
  return {
    examples: examples.flatMap((parts) =>
      [
        0,
        OPTION.behaviour,
        OPTION.behaviour * 2,
        (OPTION.behaviour * 3) | OPTION.leaves,
        OPTION.compared,
        OPTION.blocked | OPTION.behaviour,
      ].map((options) => Buffer.concat([Buffer.of(options, 0, 1), opening, ...parts])),
    ),
    mutate(input, dice) {
      const head = input.slice(0, HEAD_BYTES);
      const changed = dice.once(6)
        ? Buffer.concat([
            Uint8Array.of((head[0] as number) ^ (1 << dice.below(8)), ...dice.bytes(2)),
            input.subarray(HEAD_BYTES),
          ])
        : Buffer.concat([head, mutateFrames(input.subarray(HEAD_BYTES), dice)]);
      return new Uint8Array(changed);
    },
    run(input) {
      const options = input[0] ?? 0;
      if ((options & OPTION.compared) === 0) {
        new Play(role, input, true).run();
        return;
      }
      const chunked = new Play(role, input, false);
      const whole = new Play(role, Uint8Array.of(options, 0, 0, ...input.subarray(HEAD_BYTES)), false);
      same(chunked.run(), whole.run(), "what comes of the same bytes cut elsewhere");
    },
  };
}

/** One connection from its beginning to its end. */
class Play implements ByteTransport, ConnectionHandler {
  readonly #role: "client" | "server";
  readonly #options: number;
  readonly #bytes: Buffer;
  readonly #dice: Dice;
  /** Something happens beside the input; and chunks are cut. */
  readonly #eventful: boolean;
  readonly #whole: boolean;
  readonly #clock = new FakeClock();
  readonly #judge: Judge;
  readonly #streams = new Map<Http2Stream, Watcher>();
  readonly #log: string[] = [];
  #room: number;
  #closed = 0;
  #gone = false;
  #destroyed = false;
  #turns: (() => void)[] = [];
  #connection!: Http2Connection;

  constructor(role: "client" | "server", input: Uint8Array, eventful: boolean) {
    this.#role = role;
    this.#options = input[0] ?? 0;
    let bytes = Buffer.from(input.subarray(HEAD_BYTES));
    const found: RawFrame[] = [];
    const rest = cutFrames(bytes, found);
    const last = found.at(-1)?.bytes;
    if (this.#has("repeats") && last !== undefined) bytes = Buffer.concat([bytes, ...Array(REPEATS).fill(last), rest]);
    const preface = Buffer.from(PREFACE);
    this.#bytes = this.#has("bare") || role === "client" ? bytes : Buffer.concat([preface, bytes]);
    const seed = ((input[1] ?? 0) << 8) | (input[2] ?? 0);
    this.#dice = new Dice(seed + 1);
    this.#whole = seed === 0;
    this.#eventful = eventful;
    const isWhole = role === "server" && this.#bytes.subarray(0, preface.length).equals(preface);
    this.#judge = new Judge(role, isWhole ? this.#bytes.subarray(preface.length) : this.#bytes);
    this.#room = this.#has("blocked") ? 0 : Number.POSITIVE_INFINITY;
  }

  /** What happened, one line each. */
  run(): readonly string[] {
    const setImmediateOfRuntime = globalThis.setImmediate;
    globalThis.setImmediate = ((turn: () => void) => void this.#turns.push(turn)) as unknown as typeof setImmediate;
    try {
      this.#connection = new Http2Connection({
        role: this.#role,
        transport: this,
        handler: this,
        settings: LOCAL,
        clock: this.#clock,
      });
      if (this.#role === "client") for (let i = 0; i < MOST_REQUESTS; i++) this.#request(i === 1);
      this.#play();
      this.#end();
    } finally {
      globalThis.setImmediate = setImmediateOfRuntime;
    }
    return this.#log;
  }

  // The transport.

  write(bytes: Uint8Array): number {
    promise(!this.#gone, "nothing is written once the transport is closed");
    const taken = Math.min(bytes.length, this.#room);
    this.#room -= taken;
    this.#judge.take(bytes.subarray(0, taken));
    return taken;
  }
  close(): void {
    this.#gone = true;
  }
  destroy(): void {
    this.#gone = true;
    this.#destroyed = true;
  }
  pauseReading(): void {}
  resumeReading(): void {}

  // The code above.

  onStream(stream: Http2Stream, headers: HeaderList, endStream: boolean): StreamHandler | undefined {
    this.#log.push(`${stream.id} request ${headers.join(" ")} ${endStream}`);
    promise(this.#role === "server" && this.#closed === 0, "requests come to a server that is open");
    promise(this.#connection.openStreams <= (LOCAL.maxConcurrentStreams ?? 0), "no more streams than we allow");
    const watcher = new Watcher(this.#log, this.#behaviour, !this.#has("hoards"));
    this.#streams.set(stream, watcher);
    switch (this.#behaviour) {
      case "refuse":
        stream.respond([[":status", "503"]], true);
        return undefined;
      case "reset":
        stream.reset(ERROR_CODES.CANCEL);
        return undefined;
      case "echo":
        stream.respond([[":status", "200"]]);
        return watcher;
      case "silent":
        return watcher;
    }
  }
  onReady(): void {
    this.#log.push("ready");
  }
  onCapacity(): void {
    this.#request(true);
  }
  onGoAway(code: number): void {
    this.#log.push(`goaway ${code}`);
  }
  onStreamError(stream: number, error: Http2Error): void {
    promise(error instanceof Http2Error && error.scope === "stream", "a stream error is one");
    this.#log.push(`${stream} error ${error.code}`);
  }
  onClose(error: Http2Error | undefined): void {
    this.#closed++;
    this.#log.push(`close ${error?.code}`);
    if (error === undefined) return;
    if (error.cause !== undefined) throw error.cause;
    promise(
      error instanceof Http2Error && error.scope === "connection",
      "a connection closes with an error of a connection",
    );
    promise(error.errorCode !== ERROR_CODES.INTERNAL_ERROR, `no defect: ${error.message}`);
  }

  get #behaviour(): Behaviour {
    return BEHAVIOURS[(this.#options / OPTION.behaviour) & 3] as Behaviour;
  }

  #has(option: keyof typeof OPTION): boolean {
    return (this.#options & OPTION[option]) !== 0;
  }

  #request(endStream: boolean): void {
    if (!this.#connection.canOpen || this.#streams.size > 2 * MOST_REQUESTS) return;
    const watcher = new Watcher(this.#log, "silent", !this.#has("hoards"));
    const stream = unlessRefused(
      () => this.#connection.request(REQUEST, watcher, endStream),
      (error) => error instanceof Http2Error && error.scope === "call" && error.code === "header-list-too-large",
    );
    if (stream === undefined) return;
    this.#streams.set(stream, watcher);
    if (endStream) return;
    stream.write(new Uint8Array(100));
    if (this.#behaviour === "echo") stream.end();
  }

  #play(): void {
    const connection = this.#connection;
    const bytes = this.#bytes;
    if (this.#whole) {
      this.#receive(0, bytes.length);
      return;
    }
    const leavesAt = this.#has("leaves") && this.#eventful ? this.#dice.below(bytes.length + 1) : -1;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + this.#dice.below(this.#dice.once(3) ? 5 : 200));
      this.#receive(at, end);
      if (leavesAt >= at && leavesAt < end) connection.goAway();
      at = end;
      if (this.#eventful) this.#happen();
    }
  }

  #receive(start: number, end: number): void {
    const lent = new Uint8Array(this.#bytes.subarray(start, end));
    this.#connection.receive(lent);
    // The connection may not keep what it was lent.
    lent.fill(0xee);
  }

  #happen(): void {
    switch (this.#dice.below(6)) {
      case 0:
      case 1:
        this.#turn();
        break;
      case 2:
        if (!this.#gone) this.#connection.transportWritable();
        break;
      case 3:
        this.#clock.advance(this.#dice.below(3_000));
        break;
      case 4:
        if (!this.#has("blocked")) this.#room = this.#dice.once(2) ? this.#dice.below(50) : Number.POSITIVE_INFINITY;
        break;
      case 5:
        this.#connection.ping(() => this.#log.push("pong"));
        break;
    }
  }

  #turn(): void {
    for (const turn of this.#turns.splice(0)) turn();
  }

  #end(): void {
    const connection = this.#connection;
    this.#turn();
    this.#room = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      if (!this.#gone) connection.transportWritable();
      this.#turn();
    }
    const open = [...this.#streams.keys()].filter((stream) => !stream.closed);
    same(connection.openStreams, open.length, "the number of open streams");
    for (const stream of open) promise(!this.#watcher(stream).over, "an open stream is not over");
    this.#judge.finish(this.#destroyed);
    connection.transportClosed();
    this.#gone = true;
    this.#turn();
    same(this.#closed, 1, "onClose is called once");
    promise(connection.closed && connection.openStreams === 0, "nothing is open once the transport is closed");
    for (const [stream, watcher] of this.#streams) {
      promise(stream.closed, "every stream is closed");
      watcher.closed = true;
      promise(stream.write(new Uint8Array(1)) === 0, "a closed stream takes nothing");
    }
    this.#clock.advance(60_000);
    same(this.#clock.pending, 0, "timers that are left");
    this.#turn();
  }

  #watcher(stream: Http2Stream): Watcher {
    return this.#streams.get(stream) as Watcher;
  }
}

/** HEADERS with flags of one's own. */
export function headersWith(flags: number, stream: number, headers: HeaderList, before = "", after = ""): Buffer {
  const block = Buffer.from(encodeHeaders(headers));
  return frame("HEADERS", flags, stream, Buffer.concat([Buffer.from(before, "latin1"), block, Buffer.from(after)]));
}

/**
 * Bytes between two sockets, for plaintext: the same back-pressure, half-close and reset as relay.ts.
 * Hot path: nothing is created per chunk, unless a side is blocked.
 */
import { ByteQueue } from "./byte-queue.ts";
import type { ByteCount } from "./metrics.ts";
import { abort, type OwnedSocket, type SocketOwner } from "./socket.ts";

/** Early bytes kept before the other side is there; then the socket is paused. */
const EARLY_LIMIT = 64 * 1024;

/** The two sockets of one plaintext connection: `app` is the accepted one, `far` the one that the proxy dials. */
export class Splice {
  readonly app: SpliceEnd;
  readonly far: SpliceEnd;
  readonly #onOver: (clean: boolean) => void;
  #over = false;

  /**
   * `sent` counts what goes from `app` to `far`. `onOver` is called exactly once; `clean` when both FINs passed.
   */
  constructor(bytes: ByteCount, onOver: (clean: boolean) => void) {
    this.#onOver = onOver;
    this.app = new SpliceEnd(this, bytes, "received");
    this.far = new SpliceEnd(this, bytes, "sent");
    this.app.other = this.far;
    this.far.other = this.app;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Resets both sides. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.app.kill();
    this.far.kill();
    this.#onOver(false);
  }

  settle(): void {
    if (this.#over || !this.app.sentFin || !this.far.sentFin) return;
    this.#over = true;
    this.#onOver(true);
  }
}

export class SpliceEnd implements SocketOwner {
  readonly #splice: Splice;
  readonly #bytes: ByteCount;
  /** Which counter grows when this end's socket takes bytes. */
  readonly #counter: "sent" | "received";
  /** What this end's socket has not taken yet. */
  readonly #queue = new ByteQueue();
  other: SpliceEnd | undefined;
  #socket: OwnedSocket | undefined;
  #paused = false;
  #ended = false;
  sentFin = false;

  constructor(splice: Splice, bytes: ByteCount, counter: "sent" | "received") {
    this.#splice = splice;
    this.#bytes = bytes;
    this.#counter = counter;
  }

  /** Binds the socket and passes on what came early for it. */
  opened(socket: OwnedSocket): void {
    socket.data = this;
    this.#socket = socket;
    this.#flush();
  }

  received(chunk: Uint8Array): void {
    if (!this.#splice.over) this.other?.send(chunk);
  }

  writable(): void {
    if (!this.#splice.over) this.#flush();
  }

  ended(): void {
    if (this.#splice.over) return;
    this.#ended = true;
    this.other?.flushFin();
  }

  closed(error: Error | undefined): void {
    if (this.#splice.over) return;
    if (error === undefined && this.sentFin) {
      this.#socket = undefined;
      this.#paused = false;
      return this.ended();
    }
    this.#socket = undefined;
    this.#splice.abort();
  }

  /** Bytes from the other end. */
  send(chunk: Uint8Array): void {
    let rest = chunk;
    if (this.#socket !== undefined && this.#queue.size === 0) {
      const taken = this.#socket.write(chunk);
      if (taken > 0) {
        this.#bytes[this.#counter] += taken;
        if (taken === chunk.length) return;
        rest = chunk.subarray(taken);
      }
    }
    this.#queue.push(rest);
    if (this.#socket !== undefined || this.#queue.size >= EARLY_LIMIT) this.other?.pause();
  }

  flushFin(): void {
    this.#flush();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket?.resume();
  }

  kill(): void {
    this.#queue.clear();
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket !== undefined) abort(socket);
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.sentFin) return;
    for (let chunk = this.#queue.peek(); chunk !== undefined; chunk = this.#queue.peek()) {
      const taken = socket.write(chunk);
      if (taken <= 0) return;
      this.#bytes[this.#counter] += taken;
      this.#queue.drop(taken);
      if (taken < chunk.length) return;
    }
    if (this.other?.hasEnded === true) {
      this.sentFin = true;
      socket.shutdown();
      this.#splice.settle();
    } else this.other?.resume();
  }

  get hasEnded(): boolean {
    return this.#ended;
  }
}

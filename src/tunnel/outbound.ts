/**
 * What a connection sends: DATA within both flow-control windows and a bounded queue, in turns between the streams that
 * wait. All frames of one event-loop turn leave in one transport write; above `FLUSH_AT` at once. Hot path: nothing is
 * allocated per chunk (the queue is linked through the streams); guarded by `connection.bench.ts`.
 */

import { DEFAULT_WINDOW } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { HeaderList } from "./handlers.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { PeerSettings } from "./settings.ts";
import type { Stream } from "./stream.ts";
import type { ByteTransport } from "./transport.ts";

/** Bytes in the output buffer at which it leaves without waiting for the end of the turn. */
const FLUSH_AT = 64 * 1024;

/** Bytes in the output buffer from which DATA is taken no more: the rest stays with the caller. */
const DATA_LIMIT = 128 * 1024;

/** No DATA frame that is put together is longer, whatever the peer allows: a long one delays every other stream. */
const LARGEST_DATA = 64 * 1024;

/**
 * From this length on a chunk is not copied: a transport write of its own costs less (with TLS, at 16 KiB as much, at 64 KiB
 * three quarters, at 256 KiB 0.6 of the processor time).
 */
const LARGE_CHUNK = 32 * 1024;

/** No frame of an uncopied chunk is longer. */
const LARGEST_UNCOPIED = 256 * 1024;

/** What a waiting stream may send before it is the next one's turn; one that waits alone sends `LARGEST_UNCOPIED`. */
const QUANTUM = 32 * 1024;

/** Frames that are not DATA may queue up to here; beyond it the peer does not read what it makes us say. */
const QUEUE_LIMIT = 1024 * 1024;

export class Outbound {
  readonly writer: FrameWriter;
  readonly encoder = new HpackEncoder();
  readonly #peer: PeerSettings;
  readonly #turn: () => void;
  #scheduled = false;
  /** RFC 9113 §6.9: bytes that the peer lets the connection send. */
  #window = DEFAULT_WINDOW;
  #firstWaiting: Stream | undefined = undefined;
  #lastWaiting: Stream | undefined = undefined;
  /** The stream whose turn it is, and what it may still send in it. */
  #serving: Stream | undefined = undefined;
  #quantum = 0;

  /** `turn` is called once at the end of an event-loop turn in which `schedule` was. */
  constructor(transport: ByteTransport, peer: PeerSettings, turn: () => void) {
    this.writer = new FrameWriter(transport);
    this.#peer = peer;
    this.#turn = () => {
      this.#scheduled = false;
      turn();
    };
  }

  get window(): number {
    return this.#window;
  }

  /** More waits than an honest peer lets pile up. */
  get overflowing(): boolean {
    return this.writer.pending > QUEUE_LIMIT;
  }

  /**
   * Something waits to be sent. `setImmediate` and not a microtask: that would end with the callback of each socket,
   * and the frames of many sockets would leave one by one (measured in `connection.bench.ts`).
   */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  headers(stream: Stream, headers: HeaderList, endStream: boolean): void {
    this.writer.headers(stream.id, this.encoder.encode(headers), endStream, this.#peer.maxFrameSize);
    this.schedule();
  }

  /** Returns how many bytes were taken; a stream that wanted more waits. */
  data(stream: Stream, chunk: Uint8Array): number {
    const total = chunk.length;
    const serving = this.#serving === stream;
    // Those who waited come first.
    if (!serving && this.#firstWaiting !== undefined) {
      if (total > 0) this.#wait(stream);
      return 0;
    }
    const { maxFrameSize } = this.#peer;
    const writer = this.writer;
    let sent = 0;
    while (sent < total && writer.pending < DATA_LIMIT) {
      let length = Math.min(total - sent, maxFrameSize, stream.sendWindow, this.#window);
      if (serving) length = Math.min(length, this.#quantum);
      if (length <= 0) break;
      if (length >= LARGE_CHUNK) {
        length = Math.min(length, LARGEST_UNCOPIED);
        if (!writer.largeData(stream.id, chunk, sent, length)) break;
      } else {
        writer.data(stream.id, chunk, sent, length, Math.min(maxFrameSize, LARGEST_DATA));
      }
      sent += length;
      stream.sendWindow -= length;
      this.#window -= length;
      if (serving) this.#quantum -= length;
      if (writer.pending >= FLUSH_AT) writer.flush();
    }
    if (sent < total) this.#wait(stream);
    if (sent > 0) this.schedule();
    return sent;
  }

  /** The peer lets the stream send again, or the size of its window changed. */
  streamWindowOpened(stream: Stream): void {
    if (stream.starved && stream.sendWindow > 0) {
      this.#wait(stream);
      this.schedule();
    }
  }

  /** The peer lets the connection send `increment` more. False when that passes 2^31-1 (RFC 9113 §6.9.1). */
  openWindow(increment: number): boolean {
    this.#window += increment;
    if (this.#firstWaiting !== undefined) this.schedule();
    return this.#window <= 0x7fff_ffff;
  }

  /** Gives the waiting streams their turns as long as there is room. */
  serve(): void {
    const { writer } = this;
    while (this.#firstWaiting !== undefined && this.#window > 0 && !writer.blocked && writer.pending < DATA_LIMIT) {
      const stream = this.#firstWaiting;
      this.#firstWaiting = stream.nextWaiting;
      if (this.#firstWaiting === undefined) this.#lastWaiting = undefined;
      stream.nextWaiting = undefined;
      stream.waiting = false;
      if (stream.closed || stream.localEnded) continue;
      this.#serving = stream;
      this.#quantum = this.#firstWaiting === undefined ? LARGEST_UNCOPIED : QUANTUM;
      try {
        stream.handler.onWritable(stream);
      } finally {
        this.#serving = undefined;
      }
      if (writer.pending >= FLUSH_AT) writer.flush();
    }
  }

  /** Nothing is served any more. */
  stop(): void {
    this.#firstWaiting = undefined;
    this.#lastWaiting = undefined;
  }

  #wait(stream: Stream): void {
    stream.starved = stream.sendWindow <= 0;
    if (stream.starved || stream.waiting) return;
    stream.waiting = true;
    if (this.#lastWaiting === undefined) this.#firstWaiting = stream;
    else this.#lastWaiting.nextWaiting = stream;
    this.#lastWaiting = stream;
  }
}

/** Our own PINGs and who waits for their answers (RFC 9113 §6.7). */
import type { FrameWriter } from "./frame-writer.ts";

/** The first four octets of ours, to tell a stray answer. */
const MARK = 0x54554c4c;

export class Pings {
  readonly #writer: FrameWriter;
  readonly #waiting = new Map<number, () => void>();
  #next = 1;

  constructor(writer: FrameWriter) {
    this.#writer = writer;
  }

  send(onAck: () => void): void {
    const number = this.#next;
    this.#next = (this.#next + 1) >>> 0;
    this.#waiting.set(number, onAck);
    this.#writer.ping(MARK, number, false);
  }

  /** An answer came. One that we never asked for is nothing to us. */
  answered(high: number, low: number): void {
    if (high !== MARK) return;
    const onAck = this.#waiting.get(low);
    this.#waiting.delete(low);
    onAck?.();
  }
}

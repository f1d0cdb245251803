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

  /** An answer came; false when it is to none of our questions. */
  answered(high: number, low: number): boolean {
    const onAck = high === MARK ? this.#waiting.get(low) : undefined;
    if (onAck === undefined) return false;
    this.#waiting.delete(low);
    onAck();
    return true;
  }
}

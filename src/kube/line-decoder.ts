/** Cuts a stream of bytes into lines, each decoded once, however the chunks fall and however long a line is. */
import { KubeError } from "./errors.ts";

const NEWLINE = 0x0a;

/** Longest line accepted, in bytes: etcd refuses objects far smaller (1.5 MB by default). */
export const LONGEST_LINE = 32 * 1024 * 1024;

export class LineDecoder {
  readonly #longest: number;
  readonly #decoder = new TextDecoder();
  /** Chunks of a line that has not ended: joined once, so that a huge object costs no repeated copying. */
  #parts: Uint8Array[] = [];
  #held = 0;

  constructor(longest = LONGEST_LINE) {
    this.#longest = longest;
  }

  /** Calls `onLine` for each line that the chunk completes; empty lines are passed over. Throws `bad-answer` for a line without end. */
  push(chunk: Uint8Array, onLine: (line: string) => void): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end === -1) break;
      const line = this.#join(chunk.subarray(start, end));
      start = end + 1;
      if (line.trim() !== "") onLine(line);
    }
    if (start === chunk.length) return;
    this.#held += chunk.length - start;
    if (this.#held > this.#longest)
      throw new KubeError("bad-answer", `a line of the answer is longer than ${this.#longest} bytes`);
    // The transport may use its chunk again.
    this.#parts.push(chunk.slice(start));
  }

  /** Bytes of a line that has not ended; a stream that ends with some was cut off. */
  get held(): number {
    return this.#held;
  }

  #join(last: Uint8Array): string {
    if (this.#parts.length === 0) return this.#decoder.decode(last);
    const whole = Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    this.#held = 0;
    return this.#decoder.decode(whole);
  }
}

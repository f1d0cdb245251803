/** Progress on stderr: one line that changes on a terminal; elsewhere a line a step, and one now and then while it waits. */
import type { Progress } from "../install/index.ts";
import { wrapped } from "./text.ts";

/** A wait is told of after this, and again as often. */
const TELL_EVERY_MILLIS = 2_000;
const RESULT_COLUMN = 58;

export class ConsoleProgress implements Progress {
  readonly #stream: NodeJS.WriteStream;
  #what = "";
  #told = 0;
  #detail = "";

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  step(what: string, detail = ""): void {
    const now = Date.now();
    if (what !== this.#what) {
      this.#what = what;
      this.#told = now;
      this.#detail = "";
    }
    if (this.#stream.isTTY === true) {
      const text = detail === "" ? what : `${what}: ${detail}`;
      this.#stream.write(`\r\u001b[K${text.slice(0, (this.#stream.columns ?? 100) - 1)}`);
    } else if (detail !== "" && detail !== this.#detail && now - this.#told >= TELL_EVERY_MILLIS) {
      this.#told = now;
      this.#detail = detail;
      this.#stream.write(`${wrapped(`${what}: ${detail}`, 2)}\n`);
    }
  }

  done(result: string): void {
    this.#clear();
    this.#stream.write(`${this.#what.padEnd(RESULT_COLUMN)} ${result}\n`);
    this.#what = "";
  }

  note(text: string): void {
    this.#clear();
    this.#stream.write(`! ${wrapped(text, 2)}\n`);
  }

  #clear(): void {
    if (this.#stream.isTTY === true) this.#stream.write("\r\u001b[K");
  }
}

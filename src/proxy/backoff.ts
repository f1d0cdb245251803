/** Exponential back-off with jitter: 0.5 s, doubled each time, ±20 %, at most 150 s (ARCHITECTURE.md "Trust"). */
import type { Millis, Random } from "../mesh/index.ts";

const FIRST: Millis = 500;
export const LONGEST_BACKOFF: Millis = 150_000;
const JITTER = 0.2;

export class Backoff {
  readonly #random: Random;
  readonly #longest: Millis;
  #next: Millis = FIRST;

  constructor(random: Random, longest: Millis = LONGEST_BACKOFF) {
    this.#random = random;
    this.#longest = longest;
  }

  /** How long to wait before the next attempt. */
  next(): Millis {
    const base = this.#next;
    this.#next = Math.min(base * 2, this.#longest);
    return Math.min(this.#longest, base * (1 - JITTER + 2 * JITTER * this.#random.fraction()));
  }

  /** An attempt succeeded. */
  reset(): void {
    this.#next = FIRST;
  }
}

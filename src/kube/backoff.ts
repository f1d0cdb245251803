/** Exponential back-off with jitter between attempts at the API server, as client-go's reflector waits (0.8 s to 30 s). */
import type { Millis, Random } from "../mesh/index.ts";

const FIRST: Millis = 800;
const LONGEST: Millis = 30_000;

export class Backoff {
  readonly #random: Random;
  #next: Millis = FIRST;

  constructor(random: Random) {
    this.#random = random;
  }

  /** How long to wait before the next attempt: between half of the step and the whole. */
  next(): Millis {
    const step = this.#next;
    this.#next = Math.min(step * 2, LONGEST);
    return step * (0.5 + 0.5 * this.#random.fraction());
  }

  reset(): void {
    this.#next = FIRST;
  }
}

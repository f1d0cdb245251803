/**
 * Exponential back-off with jitter between attempts at the API server. It begins as client-go's reflector does but stops at
 * 10 s, not 30: the replicas of an operator are few, and a mesh that does not see new pods is worse than their requests.
 */
import type { Millis, Random } from "../mesh/index.ts";

const FIRST: Millis = 800;
const LONGEST: Millis = 10_000;

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

/** When a container that ended starts again, as kubelet does it: at once, then 10 s doubling to 5 min. */
import type { Millis } from "../../mesh/index.ts";

export const FIRST_BACK_OFF: Millis = 10_000;
export const LONGEST_BACK_OFF: Millis = 300_000;
/** A run of this length makes the next failure count as the first again (kubelet: twice the longest back-off). */
export const RESET_AFTER: Millis = 2 * LONGEST_BACK_OFF;

/** The back-off of one container across its restarts. */
export class BackOff {
  #next: Millis = 0;

  /** How long to wait before the next start, after a run of `ranFor`. */
  after(ranFor: Millis): Millis {
    if (ranFor >= RESET_AFTER) this.#next = 0;
    const delay = this.#next;
    this.#next = delay === 0 ? FIRST_BACK_OFF : Math.min(delay * 2, LONGEST_BACK_OFF);
    return delay;
  }
}

/** A token bucket: how often something may happen in the long run, and how often at once. */
import type { Clock, Millis } from "./time.ts";

export class Rate {
  readonly #clock: Clock;
  readonly #every: Millis;
  readonly #burst: number;
  #left: number;
  #at: Millis;

  /** Once `every` milliseconds, up to `burst` times at once. */
  constructor(clock: Clock, every: Millis, burst: number) {
    this.#clock = clock;
    this.#every = every;
    this.#burst = burst;
    this.#left = burst;
    this.#at = clock.now();
  }

  /** False: not now. */
  take(): boolean {
    const now = this.#clock.now();
    // A clock that was set back gives nothing, and takes nothing.
    this.#left = Math.min(this.#burst, this.#left + Math.max(0, now - this.#at) / this.#every);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  /** `count` more times at once, never above the burst. */
  give(count: number): void {
    this.#left = Math.min(this.#burst, this.#left + count);
  }
}

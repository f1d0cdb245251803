/** So that one source cannot take all the work that a listener does for strangers. */
import { Rate } from "./rate.ts";
import type { Clock, Millis } from "./time.ts";

export interface SourceRateOptions {
  readonly clock: Clock;
  /** Of one source: once in this time in the long run… */
  readonly every: Millis;
  /** …and so often at once. */
  readonly burst: number;
  /** Sources remembered; the one that came longest ago is forgotten for a new one. */
  readonly most: number;
}

/** A `Rate` for each source. */
export class SourceRate {
  readonly #options: SourceRateOptions;
  /** In the order of last use. */
  readonly #rates = new Map<string, Rate>();

  constructor(options: SourceRateOptions) {
    this.#options = options;
  }

  /** False: not now. */
  take(source: string): boolean {
    const { clock, every, burst, most } = this.#options;
    const rate = this.#rates.get(source) ?? new Rate(clock, every, burst);
    this.#rates.delete(source);
    if (this.#rates.size >= most) this.#rates.delete(this.#rates.keys().next().value ?? "");
    this.#rates.set(source, rate);
    return rate.take();
  }

  /** Sources remembered. */
  get size(): number {
    return this.#rates.size;
  }
}

/** A clock that stands still until a test moves it; timers fire in order of their time. */
import type { Clock, Millis } from "../mesh/index.ts";

interface Timer {
  /** On the monotonic clock. */
  readonly due: Millis;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  /** Monotonic: timers run by it, as those of a machine do. */
  #elapsed: Millis = 0;
  /** Wall clock minus monotonic clock. */
  #offset: Millis;
  readonly #timers = new Set<Timer>();

  constructor(now: Millis = Date.UTC(2026, 0, 15, 12)) {
    this.#offset = now;
  }

  now(): Millis {
    return this.#offset + this.#elapsed;
  }

  after(delay: Millis, run: () => void): Disposable {
    const timer = { due: this.#elapsed + Math.max(0, delay), run };
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) };
  }

  /** Timers that wait: a disposed owner leaves none. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves the time on and fires what falls due on the way, also what that starts. */
  advance(by: Millis): void {
    const end = this.#elapsed + by;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers)
        if (timer.due <= end && (next === undefined || timer.due < next.due)) next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#elapsed = next.due;
      next.run();
    }
    this.#elapsed = end;
  }

  /** Sets the wall clock, as a step of NTP does: timers wait as long as before. */
  step(to: Millis): void {
    this.#offset = to - this.#elapsed;
  }
}

/** The clock of connections that were given none. */
import type { Clock } from "../mesh/index.ts";

/** Monotonic, so `now()` is good for spans only; its timers never keep the process alive. */
export const MONOTONIC_CLOCK: Clock = {
  now: () => performance.now(),
  after(delay, run) {
    const timer = setTimeout(run, delay);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** The machine's own time and randomness, handed to the rooms that must not reach for them. */
import type { Clock, Millis, Random } from "../mesh/index.ts";

/** The longest delay of a JavaScript timer; a longer one fires at once. */
const LONGEST_TIMER: Millis = 2 ** 31 - 1;

/** Wall clock, and timers that never keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(delay: Millis, run: () => void): Disposable {
    let timer: ReturnType<typeof setTimeout>;
    const arm = (rest: Millis) => {
      const part = Math.min(Math.max(rest, 0), LONGEST_TIMER);
      timer = setTimeout(() => (rest > part ? arm(rest - part) : run()), part);
      timer.unref();
    };
    arm(delay);
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};

/** The kernel's random bytes; a cheaper source for jitter. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  fraction: () => Math.random(),
};

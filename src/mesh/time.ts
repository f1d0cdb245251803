/** Time as it is handed to the rooms: nothing below `cli/` reads the machine's clock by itself. */

/** Milliseconds since 1970 UTC (wall clock) or a span of milliseconds. */
export type Millis = number;

export interface Clock {
  /** Wall-clock time now. */
  now(): Millis;
  /** Calls `run` once after at least `delay`; disposing it before cancels it. Never keeps the process alive. */
  after(delay: Millis, run: () => void): Disposable;
}

/** Randomness as it is handed to the rooms. */
export interface Random {
  /** `length` unpredictable bytes. */
  bytes(length: number): Uint8Array;
  /** A number in [0, 1), for jitter. */
  fraction(): number;
}

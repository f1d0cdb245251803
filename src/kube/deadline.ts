/** An AbortSignal that fires at a deadline on the injected clock, or when the caller's own signal does. */
import type { Clock, Millis } from "../mesh/index.ts";

export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort: () => void;
  #timer: Disposable | undefined;
  #expired = false;

  /** Without `limit` there is no deadline until `extend`. */
  constructor(clock: Clock, limit?: Millis, caller?: AbortSignal) {
    this.#clock = clock;
    this.#caller = caller;
    this.#onAbort = () => this.#controller.abort(caller?.reason);
    if (caller?.aborted) this.#onAbort();
    else caller?.addEventListener("abort", this.#onAbort, { once: true });
    if (limit !== undefined) this.extend(limit);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** True when the time ran out, rather than the caller giving up. */
  get expired(): boolean {
    return this.#expired;
  }

  /** Starts the time anew. */
  extend(limit: Millis): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.after(limit, () => {
      this.#expired = true;
      this.#controller.abort();
    });
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#caller?.removeEventListener("abort", this.#onAbort);
  }
}

/** Waits; ends early, without an error, when the signal fires. */
export function sleep(clock: Clock, time: Millis, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => {
    const finish = () => {
      timer[Symbol.dispose]();
      signal.removeEventListener("abort", finish);
      done();
    };
    const timer = clock.after(time, finish);
    signal.addEventListener("abort", finish, { once: true });
  });
}

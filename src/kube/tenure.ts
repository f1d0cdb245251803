/** How long a leader may still lead: a deadline that each renewal moves, by timer and by wall clock, whichever is earlier. */
import type { Clock, Millis } from "../mesh/index.ts";
import { sleep } from "./deadline.ts";

export class Tenure {
  readonly #clock: Clock;
  readonly #deadline: Millis;
  /** Fires when the work must stop. */
  readonly #work = new AbortController();
  /** Fires when the lease is lost: also ends a renewal on its way. */
  readonly #lost = new AbortController();
  /** Fires when there is nothing left to renew for: the lease is lost, or the work was stopped and has ended. */
  readonly #over = new AbortController();
  #working = true;
  #timer: Disposable;
  /** Wall-clock time at which the last successful renewal was sent. */
  #since: Millis;
  #why: string | undefined;

  /** Made before the Lease is asked for, so that the deadline runs from the sending. */
  constructor(clock: Clock, deadline: Millis) {
    this.#clock = clock;
    this.#deadline = deadline;
    this.#since = clock.now();
    this.#timer = this.#arm();
  }

  /** Fires when the work must stop. */
  get signal(): AbortSignal {
    return this.#work.signal;
  }

  get lostSignal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Why the work was stopped. */
  get why(): string | undefined {
    return this.#why;
  }

  /** The lease is ours still, though the work may be ending. */
  get valid(): boolean {
    // A timer does not run while the machine is suspended; the wall clock then tells. One set forward ends a term too soon.
    if (!this.#lost.signal.aborted && this.#clock.now() - this.#since >= this.#deadline)
      this.lose("not renewed in time");
    return !this.#lost.signal.aborted;
  }

  get over(): boolean {
    return !this.valid || this.#over.signal.aborted;
  }

  holds(): boolean {
    return this.valid && !this.#work.signal.aborted;
  }

  stopWork(why: string): void {
    this.#why ??= why;
    this.#work.abort(new Error(`leadership ended: ${why}`));
    this.#check();
  }

  workEnded(): void {
    this.#working = false;
    this.#check();
  }

  /** Ends everything; also how a tenure is disposed of. */
  lose(why: string): void {
    this.#timer[Symbol.dispose]();
    this.#lost.abort();
    this.stopWork(why);
  }

  /** Waits before the next renewal; ends early when none is needed any more. */
  pause(time: Millis): Promise<void> {
    return sleep(this.#clock, time, this.#over.signal);
  }

  /** A renewal is being sent: if it succeeds, the deadline runs from now. */
  beginRenewal(): { succeed(): void; forget(): void } {
    const since = this.#clock.now();
    let timer: Disposable | undefined = this.#arm();
    return {
      succeed: () => {
        if (timer === undefined || !this.valid) return;
        this.#timer[Symbol.dispose]();
        this.#timer = timer;
        this.#since = since;
        timer = undefined;
      },
      forget: () => {
        timer?.[Symbol.dispose]();
        timer = undefined;
      },
    };
  }

  #check(): void {
    if (this.#lost.signal.aborted || (this.#work.signal.aborted && !this.#working)) this.#over.abort();
  }

  #arm(): Disposable {
    return this.#clock.after(this.#deadline, () => this.lose("not renewed in time"));
  }
}

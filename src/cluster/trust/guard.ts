/** Looks again and again whether the CA store still holds the authority that signs, and stops the signing when it does not. */
import type { Authority } from "../../identity/index.ts";
import type { Clock, Logger, Millis } from "../../mesh/index.ts";
import type { ClusterError } from "../errors.ts";
import type { CaStore } from "./ca-store.ts";

const LOOK_EVERY: Millis = 10_000;

export class CaGuard implements Disposable {
  readonly #store: CaStore;
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #timer: Disposable | undefined;
  #problem: ClusterError | undefined;
  #closed = false;

  constructor(store: CaStore, authority: Authority, clock: Clock, logger: Logger) {
    this.#store = store;
    this.#authority = authority;
    this.#clock = clock;
    this.#logger = logger;
    this.#schedule();
  }

  /** Why nothing may be signed now. */
  get problem(): ClusterError | undefined {
    return this.#problem;
  }

  /** Looks now. */
  async look(): Promise<void> {
    try {
      const found = await this.#store.changed(this.#authority);
      if (found?.code !== this.#problem?.code) {
        if (found === undefined) this.#logger.log("info", "the CA store is as it was: signing goes on");
        else this.#logger.log("error", "nothing is signed any more", { problem: found.message, fix: found.hint });
      }
      this.#problem = found;
    } catch (error) {
      // The API server is away: the authority is what it was when it was last asked.
      this.#logger.log("debug", "the CA store could not be looked at", { error: String(error) });
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #schedule(): void {
    this.#timer = this.#clock.after(LOOK_EVERY, () => {
      void this.look().finally(() => {
        if (!this.#closed) this.#schedule();
      });
    });
  }
}

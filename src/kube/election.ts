/**
 * One of several replicas leads, by a Lease that it renews. The leader is told that it has lost before anyone else can
 * have won: its deadline runs from the sending of the last renewal that succeeded, and is shorter than the lease.
 */
import type { Clock, Logger, Millis, Random } from "../mesh/index.ts";
import type { KubeClient } from "./client.ts";
import { sleep } from "./deadline.ts";
import { KubeError } from "./errors.ts";
import { LeaseLock } from "./lease-lock.ts";
import { Tenure } from "./tenure.ts";

/** A time of leading. */
export interface Term {
  /** Fires when the leadership ends, for whatever reason: stop at once. */
  readonly signal: AbortSignal;
  /** Grows with each change of leader: a number to fence writes with. */
  readonly number: number;
  /** Asked right before an act that only a leader may do; also false after the machine was suspended. */
  holds(): boolean;
}

export interface ElectionOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process: pod name and something random. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /**
   * The work of the leader. Ends soon after `term.signal` fires; no new term begins, and the Lease is not released, before
   * it has ended. Returning early is fine; throwing ends the term.
   */
  readonly lead: (term: Term) => Promise<void> | void;
  /** Called when another identity (undefined: nobody) is seen to lead. */
  readonly onHolder?: (holder: string | undefined) => void;
  /** Ends the candidacy: the work is stopped, then the Lease released. */
  readonly signal: AbortSignal;
  /** Default 15 s: how long a dead leader blocks the others. */
  readonly leaseDuration?: Millis;
  /** Default 10 s: how long a leader that cannot renew still leads. */
  readonly renewDeadline?: Millis;
  /** Default 2 s, with up to half as much jitter. */
  readonly retryPeriod?: Millis;
}

export interface ElectionCounts {
  terms: number;
  renewals: number;
  failures: number;
  /** Terms that ended against the leader's will. */
  lost: number;
}

/** How long the release may take at the end of a process. */
const RELEASE_TIMEOUT: Millis = 5000;

export class Election {
  readonly counts: ElectionCounts = { terms: 0, renewals: 0, failures: 0, lost: 0 };
  /** Fulfilled when the signal has fired, the work has ended and the Lease is released. */
  readonly ended: Promise<void>;
  readonly #options: ElectionOptions;
  readonly #renewDeadline: Millis;
  readonly #retryPeriod: Millis;
  readonly #lock: LeaseLock;
  #tenure: Tenure | undefined;
  #holder: string | undefined;

  constructor(options: ElectionOptions) {
    this.#options = options;
    const leaseDuration = options.leaseDuration ?? 15_000;
    this.#renewDeadline = options.renewDeadline ?? 10_000;
    this.#retryPeriod = options.retryPeriod ?? 2000;
    if (
      !(leaseDuration > this.#renewDeadline && this.#renewDeadline > this.#retryPeriod * 1.5 && this.#retryPeriod > 0)
    )
      throw new RangeError("an election needs leaseDuration > renewDeadline > 1.5 × retryPeriod");
    const timeout = Math.min(this.#renewDeadline / 2, RELEASE_TIMEOUT);
    this.#lock = new LeaseLock({ ...options, leaseDuration, timeout });
    this.ended = this.#run().finally(() => this.#lock[Symbol.dispose]());
  }

  get leading(): boolean {
    return this.#tenure?.holds() ?? false;
  }

  /** Who leads, as last seen. */
  get holder(): string | undefined {
    return this.#holder;
  }

  async #run(): Promise<void> {
    const { signal, clock } = this.#options;
    while (!signal.aborted) {
      const tenure = await this.#tryToTake();
      if (tenure !== undefined && !signal.aborted) await this.#lead(tenure);
      else if (tenure !== undefined) await this.#release(tenure);
      // After a term too: a replica whose work fails at once leaves the others a chance.
      await sleep(clock, this.#pause(), signal);
    }
  }

  /** Not ended by the signal: a Lease that is taken while the process ends must be known, to be released. */
  async #tryToTake(): Promise<Tenure | undefined> {
    const tenure = new Tenure(this.#options.clock, this.#renewDeadline);
    try {
      // An answer that took longer than the deadline is no leadership: others may have seen the Lease expire since.
      if ((await this.#lock.take()) && tenure.holds()) return tenure;
    } catch (error) {
      this.#failed("the lease could not be taken", error);
    } finally {
      this.#tellHolder();
    }
    tenure.lose("not taken");
    return undefined;
  }

  /** Works and renews until the term is lost, or ends and its work with it. */
  async #lead(tenure: Tenure): Promise<void> {
    const { lead, signal, logger, identity, name } = this.#options;
    this.#tenure = tenure;
    this.counts.terms += 1;
    logger.log("info", "leading", { lease: name, identity, term: this.#lock.transitions });
    const onStop = () => tenure.stopWork("stopped");
    if (signal.aborted) onStop();
    else signal.addEventListener("abort", onStop, { once: true });
    const term: Term = { signal: tenure.signal, number: this.#lock.transitions, holds: () => tenure.holds() };
    const work = (async () => lead(term))()
      .catch((error: unknown) => {
        logger.log("error", "the leader's work failed", { lease: name, error: String(error) });
        tenure.stopWork("failed");
      })
      .finally(() => tenure.workEnded());
    // Renewed while the work winds down, so that nobody else begins before it has ended.
    while (!tenure.over) await this.#renew(tenure);
    signal.removeEventListener("abort", onStop);
    const lost = !tenure.valid;
    if (lost) this.counts.lost += 1;
    logger.log(lost ? "warn" : "info", "no longer leading", { lease: name, identity, why: tenure.why ?? "" });
    await work;
    this.#tenure = undefined;
    if (!lost) await this.#release(tenure);
  }

  async #renew(tenure: Tenure): Promise<void> {
    await tenure.pause(this.#pause());
    if (tenure.over) return;
    const renewal = tenure.beginRenewal();
    try {
      if (await this.#lock.renew(tenure.lostSignal)) {
        renewal.succeed();
        this.counts.renewals += 1;
      } else tenure.lose(`taken by ${this.#lock.holder ?? "nobody"}`);
    } catch (error) {
      if (tenure.valid) this.#failed("the lease could not be renewed", error);
    } finally {
      renewal.forget();
      this.#tellHolder();
    }
  }

  async #release(tenure: Tenure): Promise<void> {
    try {
      await this.#lock.release();
    } catch (error) {
      this.#failed("the lease could not be released", error);
    } finally {
      tenure.lose("released");
      this.#tellHolder();
    }
  }

  #failed(message: string, error: unknown): void {
    const { logger, name } = this.#options;
    this.counts.failures += 1;
    const code = error instanceof KubeError ? error.code : "defect";
    logger.log("warn", message, { lease: name, code, error: error instanceof Error ? error.message : String(error) });
  }

  #tellHolder(): void {
    const holder = this.#lock.holder;
    if (holder === this.#holder) return;
    this.#holder = holder;
    this.#options.onHolder?.(holder);
  }

  #pause(): Millis {
    return this.#retryPeriod * (1 + 0.5 * this.#options.random.fraction());
  }
}

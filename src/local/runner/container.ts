/** The life of one container of a pod: started, probed, restarted with back-off, stopped with grace, as kubelet does it. */
import type { Clock, Millis } from "../../mesh/index.ts";
import { BackOff } from "../container/backoff.ts";
import type { ContainerLog } from "../container/log.ts";
import type { RunningContainer } from "../container/runtime.ts";
import type { ContainerSpec, LifecycleHandler, Probe } from "../kinds.ts";
import type { ProbeResult } from "./probe.ts";
import { startProbing } from "./prober.ts";
import type { ContainerRole, ContainerState, ContainerStatus, TerminatedState } from "./status.ts";

/** What a container needs of its node. */
export interface ContainerHost {
  /** Starts a fresh run; throws when its settings cannot be had (a missing ConfigMap). */
  start(container: ContainerSpec): Promise<{ readonly running: RunningContainer; readonly log: ContainerLog }>;
  hook(container: ContainerSpec, hook: LifecycleHandler, timeout: Millis): Promise<ProbeResult>;
  probe(container: ContainerSpec, probe: Probe): Promise<ProbeResult>;
}

export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** How a container is stopped. */
export interface StopOrder {
  /** Wall-clock time at which SIGKILL comes. */
  readonly deadline: Millis;
  /** SIGTERM waits for this (a sidecar's turn comes after the application's). */
  readonly turn?: Promise<unknown>;
  /** Kill at once what does not handle SIGTERM: waiting for it would be in vain. */
  readonly impatient?: boolean;
}

/** What is left for SIGTERM when preStop used up the grace (kubelet: minimumGracePeriodInSeconds). */
const LEAST_TERM_GRACE: Millis = 2000;

/** A probe that fails for this long is told of: most applications need some seconds to come up. */
const PATIENCE: Millis = 3000;

export class ContainerWorker {
  readonly spec: ContainerSpec;
  readonly role: ContainerRole;
  readonly #host: ContainerHost;
  readonly #clock: Clock;
  readonly #grace: Millis;
  readonly #changed: () => void;
  readonly #backOff = new BackOff();
  readonly #startedOnce = Promise.withResolvers<void>();
  readonly #stopAsked = Promise.withResolvers<void>();
  #state: ContainerState;
  #last: TerminatedState | undefined;
  #started = false;
  #probedReady = false;
  #unready: string | undefined;
  #restarts = 0;
  #running: RunningContainer | undefined;
  #probes: Disposable[] = [];
  #stopping = false;
  #over: Promise<TerminatedState | undefined> | undefined;
  #log: ContainerLog | undefined;
  #previousLog: ContainerLog | undefined;
  #killing: Promise<void> | undefined;
  #killReason: string | undefined;

  constructor(options: {
    readonly spec: ContainerSpec;
    readonly role: ContainerRole;
    readonly host: ContainerHost;
    readonly clock: Clock;
    /** The pod's termination grace. */
    readonly grace: Millis;
    readonly waitingReason: string;
    readonly changed: () => void;
  }) {
    this.spec = options.spec;
    this.role = options.role;
    this.#host = options.host;
    this.#clock = options.clock;
    this.#grace = options.grace;
    this.#changed = options.changed;
    this.#state = { kind: "waiting", reason: options.waitingReason };
  }

  get status(): ContainerStatus {
    return {
      name: this.spec.name,
      role: this.role,
      state: this.#state,
      last: this.#last,
      started: this.#started,
      ready: this.#ready(),
      restarts: this.#restarts,
      ...(this.#unready === undefined || this.#ready() ? {} : { unready: this.#unready }),
    };
  }

  /** The log of the present run, or of the one before. */
  log(previous: boolean): ContainerLog | undefined {
    return previous ? this.#previousLog : this.#log;
  }

  /** Resolves when the container was up for the first time: startup probe and postStart done. Never rejects. */
  get startedOnce(): Promise<void> {
    return this.#startedOnce.promise;
  }

  /** Runs it until it ends for good under `policy`, or is stopped. Answers its last end; undefined if it never ran. */
  run(policy: RestartPolicy): Promise<TerminatedState | undefined> {
    this.#over ??= this.#loop(policy);
    return this.#over;
  }

  /** Stops it for good; resolves when it has ended. */
  async stop(order: StopOrder): Promise<void> {
    this.#stopping = true;
    this.#stopAsked.resolve();
    if (this.#over === undefined) return;
    this.#endProbes();
    this.#changed();
    await this.#terminate(order);
    await this.#over;
  }

  #ready(): boolean {
    if (this.role === "init") return this.#state.kind === "terminated" && this.#state.exitCode === 0;
    return (
      this.#state.kind === "running" && this.#started && (this.spec.readinessProbe === undefined || this.#probedReady)
    );
  }

  async #loop(policy: RestartPolicy): Promise<TerminatedState | undefined> {
    for (;;) {
      const began = this.#clock.now();
      const end = await this.#once();
      this.#endProbes();
      this.#started = false;
      this.#probedReady = false;
      this.#running = undefined;
      this.#state = end;
      this.#changed();
      if (this.#stopping || policy === "Never" || (policy === "OnFailure" && end.exitCode === 0)) return end;
      const delay = this.#backOff.after(this.#clock.now() - began);
      if (delay > 0) {
        const seconds = Math.round(delay / 1000);
        this.#last = end;
        this.#state = {
          kind: "waiting",
          reason: end.reason === "CreateContainerConfigError" ? end.reason : "CrashLoopBackOff",
          message: `next start after a back-off of ${seconds} s`,
        };
        this.#changed();
        if (await this.#sleep(delay)) {
          this.#state = end;
          return end;
        }
      } else if (this.#stopping) return end;
      this.#last = end;
      this.#restarts++;
    }
  }

  /** One run, from the start to the end. */
  async #once(): Promise<TerminatedState> {
    const startedAt = this.#clock.now();
    const failed = (reason: string, error: unknown): TerminatedState => ({
      kind: "terminated",
      exitCode: 128,
      reason,
      message: error instanceof Error ? error.message : String(error),
      startedAt,
      finishedAt: this.#clock.now(),
    });
    this.#killReason = undefined;
    this.#killing = undefined;
    let running: RunningContainer;
    try {
      const begun = await this.#host.start(this.spec);
      running = begun.running;
      this.#previousLog = this.#log;
      this.#log = begun.log;
    } catch (error) {
      return failed("CreateContainerConfigError", error);
    }
    this.#running = running;
    if (await running.started) {
      this.#state = { kind: "running", startedAt: this.#clock.now() };
      this.#changed();
      // A stop that came while it was being started has not reached it yet.
      if (this.#stopping) running.signal("SIGKILL");
      else void this.#bringUp(running);
    }
    const exit = await running.exited;
    if (exit.startError !== undefined) return { ...failed("StartError", startMessage(exit.startError)), exitCode: 128 };
    return {
      kind: "terminated",
      exitCode: exit.code,
      reason: exit.code === 0 ? "Completed" : "Error",
      ...(this.#killReason === undefined ? {} : { message: this.#killReason }),
      startedAt,
      finishedAt: this.#clock.now(),
    };
  }

  /** postStart, then the startup probe, then the other two. */
  async #bringUp(running: RunningContainer): Promise<void> {
    const current = () => this.#running === running && !this.#stopping && this.#state.kind === "running";
    const hook = this.spec.lifecycle?.postStart;
    if (hook !== undefined) {
      const done = await this.#host.hook(this.spec, hook, 24 * 3600 * 1000);
      if (!current()) return;
      if (!done.ok) return this.#kill(`postStart failed: ${done.seen}`);
    }
    const { startupProbe } = this.spec;
    if (startupProbe === undefined) return this.#up();
    let passed = false;
    this.#probe(startupProbe, true, (verdict) => {
      if (passed || !current()) return;
      if (!verdict.ok) return this.#kill(`the startup probe failed: ${verdict.seen}`);
      passed = true;
      this.#endProbes();
      this.#up();
    });
  }

  #up(): void {
    this.#started = true;
    this.#startedOnce.resolve();
    const { readinessProbe, livenessProbe } = this.spec;
    if (readinessProbe !== undefined) {
      this.#probe(readinessProbe, true, (verdict) => {
        if (this.#probedReady === verdict.ok) return;
        this.#probedReady = verdict.ok;
        this.#changed();
      });
    }
    if (livenessProbe !== undefined) {
      this.#probe(livenessProbe, false, (verdict) => {
        if (!verdict.ok) this.#kill(`the liveness probe failed: ${verdict.seen}`);
      });
    }
    this.#changed();
  }

  #probe(probe: Probe, eager: boolean, tell: (verdict: ProbeResult) => void): void {
    let failingSince: Millis | undefined;
    const attempt = async () => {
      const result = await this.#host.probe(this.spec, probe);
      if (!eager || result.ok) {
        failingSince = undefined;
        if (eager) this.#unready = undefined;
        return result;
      }
      failingSince ??= this.#clock.now();
      if (this.#clock.now() - failingSince >= PATIENCE) {
        const before = this.#unready;
        this.#unready = result.seen;
        // A command may print the time: the same words with other numbers are no news.
        if (before?.replaceAll(/\d+/g, "") !== result.seen.replaceAll(/\d+/g, "")) this.#changed();
      }
      return result;
    };
    this.#probes.push(startProbing(probe, { clock: this.#clock, eager, attempt, tell }));
  }

  #endProbes(): void {
    for (const probe of this.#probes.splice(0)) probe[Symbol.dispose]();
    this.#unready = undefined;
  }

  /** Ends the present run so that the restart policy decides. */
  #kill(why: string): void {
    if (this.#killing !== undefined) return;
    this.#killReason = why;
    this.#endProbes();
    this.#killing = this.#terminate({ deadline: this.#clock.now() + this.#grace });
  }

  /** preStop, turn, SIGTERM, SIGKILL at the deadline. Resolves when the run is over or was killed. */
  async #terminate(order: StopOrder): Promise<void> {
    const running = this.#running;
    if (running === undefined || this.#state.kind !== "running") return;
    const left = () => order.deadline - this.#clock.now();
    const hook = this.spec.lifecycle?.preStop;
    if (hook !== undefined && left() > 0) {
      await Promise.race([this.#host.hook(this.spec, hook, left()), running.exited]);
    }
    if (order.turn !== undefined) await Promise.race([order.turn, running.exited, this.#delay(left())]);
    if (order.impatient === true && !running.hearsTerm()) {
      running.signal("SIGKILL");
      return;
    }
    running.signal("SIGTERM");
    const wait = hook === undefined && order.turn === undefined ? left() : Math.max(left(), LEAST_TERM_GRACE);
    const timer = this.#clock.after(Math.max(wait, 0), () => running.signal("SIGKILL"));
    await running.exited;
    timer[Symbol.dispose]();
  }

  #delay(millis: Millis): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(Math.max(millis, 0), resolve));
  }

  /** True when a stop came first. */
  #sleep(millis: Millis): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(millis, () => resolve(this.#stopping));
      void this.#stopAsked.promise.then(() => {
        timer[Symbol.dispose]();
        resolve(true);
      });
    });
  }
}

/** crun's words for a missing program, in ours. */
function startMessage(error: string): Error {
  const missing = /^executable file `(.*)` not found/.exec(error);
  return new Error(missing === null ? error : `command not found: ${missing[1]}`);
}

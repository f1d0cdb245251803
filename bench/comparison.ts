/** One comparison: rounds of tests over pairs, and the book of what was measured and what was not. */
import { PacedLoad } from "./load/wrk.ts";
import { memory } from "./memory.ts";
import { TESTS, type TestName } from "./metrics.ts";
import type { Pair } from "./pairs/pair.ts";
import { quiet } from "./quiet.ts";
import { type Loss, type Run, summarize } from "./report/results.ts";
import { turns } from "./schedule.ts";
import { FIXED_RATE, keepalive, type Measured, newConnections, paced, SHARE_OF_MAXIMUM, transfers } from "./tests.ts";
import type { Running, Workspace } from "./workspace.ts";

const WARM_UP_SECONDS = 2;
const SECONDS = 5;
/** How often one test is tried when others use the machine. */
const ATTEMPTS = 3;
const QUIET_LIMIT_MS = 120_000;

export interface Plan {
  readonly pairs: readonly Pair[];
  readonly tests: readonly TestName[];
  readonly rounds: number;
  /** Cores: a test during which others used more is discarded. */
  readonly quietBelow: number;
}

export class Comparison {
  readonly runs: Run[] = [];
  readonly losses: Loss[] = [];
  readonly #plan: Plan;
  readonly #workspace: Workspace;
  readonly #say: (text: string) => void;
  #round = 0;

  /** `say` is given one line of progress at a time. */
  constructor(plan: Plan, workspace: Workspace, say: (text: string) => void) {
    this.#plan = plan;
    this.#workspace = workspace;
    this.#say = say;
  }

  /** Throws when the machine never becomes quiet. What fails with one pair is noted, and the others go on. */
  async run(): Promise<void> {
    while (this.#round < this.#plan.rounds) {
      this.#round++;
      await this.#runRound(turns(this.#plan.pairs, this.#round - 1));
    }
  }

  async #runRound(pairs: readonly Pair[]): Promise<void> {
    const { tests } = this.#plan;
    if (tests.includes("memory")) for (const pair of pairs) await this.#memoryOf(pair);
    const loads = TESTS.filter((test) => test !== "memory" && tests.includes(test));
    if (loads.length === 0) return;
    using owned = new DisposableStack();
    const running: Running[] = [];
    for (const pair of pairs) {
      const one = await this.#start(pair);
      if (one === undefined) continue;
      running.push(owned.use(one));
      await this.#noting(pair, "pair", () => keepalive(one, WARM_UP_SECONDS));
    }
    for (const test of loads) for (const one of running) await this.#put(test, one);
    for (const one of running) await this.#noting(one.pair, "pair", async () => one.proxies?.finish?.());
  }

  /** Of a pair that has been started for it alone. */
  async #memoryOf(pair: Pair): Promise<void> {
    if (pair.name === "direct") return;
    using running = await this.#start(pair);
    if (running?.proxies === undefined) return;
    const { proxies } = running;
    await this.#noting(pair, "memory", async () => this.#keep(pair, "memory", await memory(running, proxies)));
  }

  async #put(test: TestName, running: Running): Promise<void> {
    const { pair } = running;
    const { quietBelow } = this.#plan;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      if (!(await quiet(quietBelow, QUIET_LIMIT_MS))) {
        throw new Error(
          `others used ${quietBelow} cores or more for ${QUIET_LIMIT_MS / 1_000} s without a quiet second: nothing can be measured. ` +
            "Wait for a quiet machine, or allow more with QUIET_BELOW (cores).",
        );
      }
      const measured = await this.#noting(pair, test, () => this.#measure(test, running));
      if (measured === undefined) return;
      if (measured.others < quietBelow) return this.#keep(pair, test, measured);
      this.#tell(pair, test, `others used ${measured.others.toFixed(2)} cores meanwhile`);
      this.#lose(pair, test, `others used the machine, attempt ${attempt} of ${ATTEMPTS}`);
    }
  }

  async #measure(test: TestName, running: Running): Promise<Measured> {
    switch (test) {
      case "keepalive":
        return keepalive(running, SECONDS);
      case "newconn":
        return newConnections(running, SECONDS);
      case "bulk":
        return transfers(running, this.#workspace.files);
      case "fixed":
        return paced(running, test, await PacedLoad.calibrated(running.stage.client, FIXED_RATE), SECONDS);
      case "seventy":
        return paced(running, test, await PacedLoad.calibrated(running.stage.client, this.#seventy()), SECONDS);
      case "memory":
        throw new Error("memory is measured of pairs that were started for it");
    }
  }

  /** 70 % of nginx's requests/s as measured so far. */
  #seventy(): number {
    const maximum = summarize(this.runs)("nginx", "keepalive.rate")?.median;
    if (maximum === undefined) throw new Error("nginx's requests/s have not been measured");
    return SHARE_OF_MAXIMUM * maximum;
  }

  async #start(pair: Pair): Promise<Running | undefined> {
    return this.#noting(pair, "pair", () => this.#workspace.start(pair));
  }

  /** Undefined when it throws, which is noted then. */
  async #noting<T>(pair: Pair, test: TestName | "pair", act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      this.#lose(pair, test, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  #keep(pair: Pair, test: TestName, { values, others, errors }: Measured): void {
    this.runs.push({ pair: pair.name, test, round: this.#round, values, others, errors });
    const shown = Object.entries(values).map(([key, value]) => `${key.split(".")[1]} ${Number(value.toPrecision(4))}`);
    const failed = errors > 0 ? `, ${errors} errors` : "";
    this.#tell(pair, test, `${shown.join(", ")}${failed} (others ${others.toFixed(2)} cores)`);
  }

  #lose(pair: Pair, test: TestName | "pair", why: string): void {
    this.losses.push({ pair: pair.name, test, round: this.#round, why });
    this.#tell(pair, test, `not counted: ${why}`);
  }

  #tell(pair: Pair, test: string, text: string): void {
    this.#say(`round ${this.#round}/${this.#plan.rounds} ${test} ${pair.name}: ${text}`);
  }
}

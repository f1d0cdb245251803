/**
 * Tulle beside the nginx pair in under 55 s: short tests that alternate between the two for as many rounds as the time allows.
 * The last line is one line of JSON: Tulle's medians divided by nginx's. `make bench-quick`; bench/README.md.
 */
import { PacedLoad } from "./load/wrk.ts";
import { SETTLE_MS } from "./memory.ts";
import { nginx } from "./pairs/nginx.ts";
import { tulle } from "./pairs/tulle.ts";
import { turns } from "./schedule.ts";
import { spread } from "./statistics.ts";
import { keepalive, type Measured, newConnections, paced, residentOf, SHARE_OF_MAXIMUM, transfers } from "./tests.ts";
import { type Running, Workspace } from "./workspace.ts";

/** A round that would end later is not begun, unless it is the first. */
const LIMIT_SECONDS = 50;
const MOST_ROUNDS = 5;
const TEST_SECONDS = 2;
const NEW_CONNECTIONS_SECONDS = 1;
const WARM_UP_SECONDS = 1;
const LARGE_BYTES = 512 * 2 ** 20;
/** Cores: when others used more, the ratios are doubtful. */
const QUIET = 0.5;

const elapsed = () => performance.now() / 1_000;
const say = (text: string) => process.stderr.write(`${elapsed().toFixed(1).padStart(5)} s  ${text}\n`);

class Quick {
  readonly #values = new Map<string, number[]>();
  /** Load at 70 % of nginx's maximum, by pair. */
  readonly #loads = new Map<Running, PacedLoad>();
  readonly #files: string;
  #others = 0;

  constructor(files: string) {
    this.#files = files;
  }

  async round(ours: Running, theirs: Running, round: number): Promise<void> {
    const order = turns([ours, theirs], round);
    for (const one of order) await this.#take(one, keepalive(one, TEST_SECONDS));
    for (const one of order) await this.#take(one, newConnections(one, NEW_CONNECTIONS_SECONDS));
    for (const one of order) await this.#take(one, transfers(one, this.#files, ["down"]));
    for (const one of order)
      await this.#take(one, paced(one, "seventy", await this.#loadOf(one, theirs), TEST_SECONDS));
  }

  /** Cores that others used in the worst test. */
  get others(): number {
    return this.#others;
  }

  /** Tulle's median by nginx's. */
  ratio(metric: string): number {
    return round(this.#median("tulle", metric) / this.#median("nginx", metric), 3);
  }

  async #loadOf(one: Running, theirs: Running): Promise<PacedLoad> {
    const rate = SHARE_OF_MAXIMUM * this.#median(theirs.pair.name, "keepalive.rate");
    const load = this.#loads.get(one) ?? (await PacedLoad.calibrated(one.stage.client, rate));
    this.#loads.set(one, load);
    return load;
  }

  async #take({ pair }: Running, measuring: Promise<Measured>): Promise<void> {
    const { values, others, errors } = await measuring;
    this.#others = Math.max(this.#others, others);
    for (const [metric, value] of Object.entries(values)) {
      const key = `${pair.name} ${metric}`;
      this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
    }
    const shown = Object.entries(values).map(([metric, value]) => `${metric} ${round(value, 2)}`);
    say(
      `${pair.name}: ${shown.join(", ")}${errors > 0 ? `, ${errors} errors` : ""} (others ${round(others, 2)} cores)`,
    );
  }

  #median(pair: string, metric: string): number {
    const found = spread(this.#values.get(`${pair} ${metric}`) ?? []);
    if (found === undefined) throw new Error(`${metric} of ${pair} was not measured`);
    return found.median;
  }
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

async function main(): Promise<void> {
  using workspace = await Workspace.open(LARGE_BYTES);
  using ours = await workspace.start(tulle());
  using theirs = await workspace.start(nginx);
  if (ours.proxies === undefined) throw new Error("Tulle's proxies were not started");
  await Bun.sleep(SETTLE_MS);
  const resident = residentOf(ours.proxies);
  say(
    `both run; Tulle's idle memory: outbound ${round(resident.outbound, 1)}, inbound ${round(resident.inbound, 1)} MiB`,
  );
  for (const one of [ours, theirs]) await keepalive(one, WARM_UP_SECONDS);
  const quick = new Quick(workspace.files);
  const first = elapsed();
  for (let done = 0; done < MOST_ROUNDS; done++) {
    if (done > 0 && elapsed() + (elapsed() - first) / done > LIMIT_SECONDS) break;
    await quick.round(ours, theirs, done);
  }
  await ours.proxies.finish?.();
  if (quick.others > QUIET) {
    say(`others used up to ${round(quick.others, 2)} cores: the ratios are doubtful. Measure again on a quiet machine`);
  }
  process.stdout.write(
    `${JSON.stringify({
      keepalive_ratio: quick.ratio("keepalive.rate"),
      newconn_ratio: quick.ratio("newconn.rate"),
      bulk_ratio: quick.ratio("bulk.down"),
      cpu_ratio: quick.ratio("keepalive.cpu"),
      p99_ratio: quick.ratio("seventy.p99"),
      rss_mb: round(Math.max(resident.outbound, resident.inbound), 1),
    })}\n`,
  );
}

await main();

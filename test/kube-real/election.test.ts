/** Elections against a real API server, on the real clock: rivals, a leader cut off, a server that goes away. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { Election, LEASES, type Term } from "../../src/kube/index.ts";
import { MemoryLogger } from "../../src/testkit/memory-logger.ts";
import { until } from "../../src/testkit/until.ts";
import { ApiServer } from "../kube/api-server.ts";
import { admin, systemClock, systemRandom } from "../kube/clients.ts";
import { Relay } from "../kube/relay.ts";

const TIMES = { leaseDuration: 3000, renewDeadline: 2000, retryPeriod: 400 };

let owned: AsyncDisposableStack;
let server: ApiServer;
let candidates: Candidate[];

class Candidate {
  readonly stop = new AbortController();
  readonly relay: Relay;
  readonly election: Election;
  term: Term | undefined;

  private constructor(relay: Relay, name: string) {
    this.relay = relay;
    const client = owned.use(admin(server, relay.port));
    this.election = new Election({
      client,
      namespace: "default",
      name: "operator",
      identity: name,
      clock: systemClock,
      random: systemRandom,
      logger: new MemoryLogger(),
      signal: this.stop.signal,
      ...TIMES,
      lead: (term) =>
        new Promise((end) => {
          this.term = term;
          term.signal.addEventListener("abort", () => end());
        }),
    });
  }

  static async join(name: string): Promise<Candidate> {
    const one = new Candidate(owned.use(await Relay.start(server.port)), name);
    candidates.push(one);
    owned.defer(async () => {
      one.stop.abort();
      await one.election.ended;
    });
    return one;
  }

  get leads(): boolean {
    return this.term?.holds() ?? false;
  }
}

beforeEach(async () => {
  owned = new AsyncDisposableStack();
  candidates = [];
  server = owned.use(await ApiServer.start());
}, 90_000);

afterEach(async () => {
  await owned.disposeAsync();
});

const leaders = () => candidates.filter(({ leads }) => leads);

/** Looks every few milliseconds: more than one leader at any moment fails. */
async function watchOver(condition: () => boolean, what: string, limit = 30_000): Promise<number> {
  const began = performance.now();
  await until(
    () => {
      expect(leaders().length).toBeLessThanOrEqual(1);
      return condition();
    },
    what,
    limit,
  );
  return Math.round(performance.now() - began);
}

async function leader(): Promise<Candidate> {
  await watchOver(() => leaders().length === 1, "a leader");
  const [one] = leaders();
  if (one === undefined) throw new Error("no leader");
  return one;
}

test("two fight for one lease: never both lead, a cut-off leader is replaced, a stopped one at once", async () => {
  await Promise.all([Candidate.join("a"), Candidate.join("b")]);
  for (let round = 0; round < 3; round += 1) {
    const first = await leader();
    first.relay.cut();
    const lost = await watchOver(() => !first.leads, "the loss");
    const won = lost + (await watchOver(() => leaders().length === 1, "a new leader"));
    process.stdout.write(`    cut off: lost after ${lost} ms, replaced after ${won} ms\n`);
    expect(lost).toBeLessThan(2600);
    expect((await leader()) === first).toBe(false);
    first.relay.mend();
  }
  const last = await leader();
  last.stop.abort();
  await last.election.ended;
  const handed = await watchOver(() => leaders().length === 1, "the next");
  process.stdout.write(`    released: replaced after ${handed} ms\n`);
  expect(handed).toBeLessThan(1500);
  using root = admin(server);
  const { spec } = await root.get(LEASES, { namespace: "default", name: "operator" });
  expect(spec?.leaseTransitions).toBeGreaterThanOrEqual(4);
}, 120_000);

test("eight join at once while requests freeze and break at random: never two lead", async () => {
  await Promise.all(Array.from({ length: 8 }, (_, i) => Candidate.join(`r${i}`)));
  const end = performance.now() + 20_000;
  let changes = 0;
  while (performance.now() < end) {
    const { relay } = candidates[Math.floor(Math.random() * candidates.length)] ?? (await leader());
    const victim = Math.random() < 0.5 ? (await leader()).relay : relay;
    if (Math.random() < 0.5) victim.cut();
    else victim.freeze();
    await watchOver(() => false, "", 50 + Math.random() * 2500).catch((error: unknown) => {
      if (!String(error).includes("in vain")) throw error;
    });
    victim.mend();
    changes += 1;
  }
  await watchOver(() => leaders().length === 1, "a leader");
  process.stdout.write(
    `    ${changes} disturbances, ${candidates.reduce((sum, { election }) => sum + election.counts.terms, 0)} terms\n`,
  );
}, 120_000);

test("a server that goes away ends the term; when it is back, someone leads again", async () => {
  await Promise.all([Candidate.join("a"), Candidate.join("b")]);
  const first = await leader();
  await server.down();
  await watchOver(() => !first.leads, "the loss");
  await server.up();
  await leader();
}, 120_000);

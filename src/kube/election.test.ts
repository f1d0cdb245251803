import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApiServer } from "../testkit/fake-api-server.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { requestsInFlight, settled } from "../testkit/requests-in-flight.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { until } from "../testkit/until.ts";
import { KubeClient } from "./client.ts";
import { Election, type ElectionOptions, type Term } from "./election.ts";
import { LEASES, type Lease, microTime } from "./lease.ts";

/** One replica: a clock, a client and a candidacy of its own. */
class Replica {
  readonly clock: FakeClock;
  readonly logger = new MemoryLogger();
  readonly terms: Term[] = [];
  readonly holders: (string | undefined)[] = [];
  readonly stop = new AbortController();
  readonly client: KubeClient;
  readonly inFlight: () => number;
  readonly election: Election;
  /** While set, the leader's work does not end when it is told to. */
  stubborn: Promise<void> | undefined;

  constructor(server: FakeApiServer, identity: string, now: number, options: Partial<ElectionOptions> = {}) {
    this.clock = new FakeClock(now);
    this.client = new KubeClient({ connection: server.connection(identity), clock: this.clock, agent: identity });
    this.inFlight = requestsInFlight(this.client);
    this.election = new Election({
      client: this.client,
      namespace: "tulle-system",
      name: "operator",
      identity,
      clock: this.clock,
      random: new SeededRandom(),
      logger: this.logger,
      lead: async (term) => {
        this.terms.push(term);
        await new Promise<void>((end) => term.signal.addEventListener("abort", () => end()));
        await this.stubborn;
      },
      onHolder: (holder) => void this.holders.push(holder),
      signal: this.stop.signal,
      ...options,
    });
  }

  get leads(): boolean {
    return this.election.leading;
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.election.ended;
    expect(this.clock.pending).toBe(0);
    this.client[Symbol.dispose]();
  }
}

let server: FakeApiServer;
let replicas: Replica[];

beforeEach(async () => {
  server = await FakeApiServer.start();
  replicas = [];
});

afterEach(async () => {
  server.intercept = () => undefined;
  for (const replica of replicas) await replica.end();
  await server[Symbol.asyncDispose]();
});

function join(identity: string, options: Partial<ElectionOptions> = {}, now = Date.UTC(2026, 0, 15)): Replica {
  const replica = new Replica(server, identity, now, options);
  replicas.push(replica);
  return replica;
}

const lease = () => server.storage.get("/apis/coordination.k8s.io/v1/leases", "tulle-system", "operator") as Lease;
const idle = () => Bun.sleep(15);

/** Moves the clocks of the replicas together, and lets requests come and go between the steps. */
async function pass(time: number, ...moved: Replica[]): Promise<void> {
  for (let done = 0; done < time; done += 500) {
    for (const replica of moved) replica.clock.advance(500);
    await settled(server, ...moved.map((replica) => replica.inFlight));
  }
}

test("the first candidate leads, renews, and the second only watches", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  expect(lease().spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 15, leaseTransitions: 0 });
  expect(lease().spec?.renewTime).toBe("2026-01-15T00:00:00.000000Z");
  const b = join("b");
  await until(() => b.holders.length === 1, "b sees a");
  await pass(60_000, a, b);
  expect([a.leads, b.leads]).toEqual([true, false]);
  expect(a.election.counts.renewals).toBeGreaterThan(15);
  expect(b.holders).toEqual(["a"]);
  expect(a.terms.length).toBe(1);
});

test("a leader that stops first ends its work, then releases the lease, and the next need not wait", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  const b = join("b");
  await until(() => b.holders.length === 1, "b sees a");
  let finish = () => {};
  a.stubborn = new Promise((done) => {
    finish = done;
  });
  a.stop.abort();
  expect(a.terms[0]?.signal.aborted).toBe(true);
  expect(a.leads).toBe(false);
  // Its work still winds down: it goes on renewing, so that b does not begin.
  await pass(40_000, a, b);
  expect(lease().spec?.holderIdentity).toBe("a");
  expect(b.leads).toBe(false);
  finish();
  await a.election.ended;
  expect(lease().spec?.holderIdentity).toBe("");
  await pass(4000, b);
  expect(b.leads).toBe(true);
  expect(lease().spec?.leaseTransitions).toBe(1);
  expect(b.terms[0]?.number).toBe(1);
});

test("a leader cut off from the server is told before the other can take over", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  const b = join("b");
  await until(() => b.holders.length === 1, "b sees a");
  server.intercept = ({ headers }) => (headers["user-agent"] === "a" ? { status: 503 } : undefined);
  let lostAt: number | undefined;
  a.terms[0]?.signal.addEventListener("abort", () => {
    lostAt = a.clock.now();
  });
  const began = a.clock.now();
  let wonAt: number | undefined;
  for (let i = 0; i < 60 && wonAt === undefined; i += 1) {
    await pass(500, a, b);
    if (b.leads) wonAt = b.clock.now();
    expect(a.leads && b.leads).toBe(false);
  }
  expect((lostAt ?? Number.NaN) - began).toBe(10_000);
  expect((wonAt ?? Number.NaN) - began).toBeGreaterThanOrEqual(15_000);
  expect((wonAt ?? Number.NaN) - began).toBeLessThanOrEqual(20_000);
  expect(a.election.counts.lost).toBe(1);
  // It comes back as a candidate like any other.
  server.intercept = () => undefined;
  await pass(30_000, a, b);
  expect([a.leads, b.leads]).toEqual([false, true]);
  expect(a.holders.at(-1)).toBe("b");
});

test("also when reads pass and only writes fail, and when requests hang", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  server.intercept = ({ method }) => (method === "GET" ? undefined : { status: 500 });
  await pass(11_000, a);
  expect(a.terms[0]?.signal.aborted).toBe(true);
  server.intercept = () => undefined;
  await pass(20_000, a);
  expect(a.leads).toBe(true);
  expect(a.terms.length).toBe(2);
  server.intercept = () => "hang";
  await pass(11_000, a);
  expect(a.leads).toBe(false);
  server.intercept = () => undefined;
  await pass(6000, a);
});

test("clocks that are hours apart decide nothing", async () => {
  const hour = 3_600_000;
  const a = join("a", {}, Date.UTC(2026, 0, 15));
  await until(() => a.leads, "a leads");
  const ahead = join("ahead", {}, Date.UTC(2026, 0, 15) + 5 * hour);
  const behind = join("behind", {}, Date.UTC(2026, 0, 15) - 5 * hour);
  await until(() => ahead.holders.length + behind.holders.length === 2, "both see a");
  await pass(60_000, a, ahead, behind);
  expect([a.leads, ahead.leads, behind.leads]).toEqual([true, false, false]);
});

test("a wall clock set back does not make a leader that cannot renew lead longer", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  server.intercept = () => ({ status: 503 });
  a.clock.step(a.clock.now() - 3_600_000);
  const term = a.terms[0];
  // FakeClock keeps timers by wall time, so what is left of the deadline is fired by hand: one hour and ten seconds.
  expect(term?.holds()).toBe(true);
  await pass(1000, a);
  a.clock.advance(3_610_000);
  expect(term?.signal.aborted).toBe(true);
});

test("after the machine was suspended, `holds` says no before any timer has run", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  const term = a.terms[0];
  expect(term?.holds()).toBe(true);
  a.clock.step(a.clock.now() + 60_000);
  expect(term?.holds()).toBe(false);
  expect(term?.signal.aborted).toBe(true);
});

test("a lease taken from under the leader ends its term at the next renewal", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  const { storage } = server;
  storage.update("/apis/coordination.k8s.io/v1/leases", "tulle-system", "operator", {
    ...lease(),
    spec: { ...lease().spec, holderIdentity: "thief", renewTime: microTime(0) },
  } as Lease);
  await pass(4000, a);
  expect(a.terms[0]?.signal.aborted).toBe(true);
  expect(a.logger.of("no longer leading")[0]?.fields["why"]).toBe("taken by thief");
  // The thief does not renew: a waits the lease out by its own clock.
  await pass(10_000, a);
  expect(a.leads).toBe(false);
  await pass(10_000, a);
  expect(a.leads).toBe(true);
});

test("a change of the Lease by a third party neither ends a term nor counts as a renewal", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  const label = (value: string) =>
    a.client.patch(
      LEASES,
      { namespace: "tulle-system", name: "operator" },
      { kind: "merge", value: { metadata: { labels: { value } } } },
    );
  await label("1");
  await pass(8000, a);
  expect(a.leads).toBe(true);
  expect(a.election.counts.lost).toBe(0);
  const b = join("b");
  await until(() => b.holders.length === 1, "b sees a");
  server.intercept = ({ headers }) => (headers["user-agent"] === "a" ? { status: 503 } : undefined);
  for (let i = 0; i < 20; i += 1) {
    server.storage.update("/apis/coordination.k8s.io/v1/leases", "tulle-system", "operator", {
      ...lease(),
      metadata: { ...lease().metadata, labels: { value: String(i) } },
    });
    await pass(1000, a, b);
  }
  expect(b.leads).toBe(true);
});

test("a deleted Lease is made again by its leader", async () => {
  const a = join("a");
  await until(() => a.leads, "a leads");
  server.storage.delete("/apis/coordination.k8s.io/v1/leases", "tulle-system", "operator");
  await pass(4000, a);
  expect(lease().spec?.holderIdentity).toBe("a");
  expect(a.terms.length).toBe(1);
  expect(a.leads).toBe(true);
});

test("work that throws ends the term and frees the lease; work that returns does not", async () => {
  let times = 0;
  const a = join("a", {
    lead: () => {
      times += 1;
      if (times === 1) throw new Error("cannot lead");
    },
  });
  await until(() => times === 1, "the first term");
  await until(() => lease().spec?.holderIdentity === "", "the release");
  await pass(3000, a);
  expect(times).toBe(2);
  await pass(20_000, a);
  expect(times).toBe(2);
  expect(a.leads).toBe(true);
  expect(a.logger.of("the leader's work failed").length).toBe(1);
  a.stop.abort();
  await a.election.ended;
  expect(lease().spec?.holderIdentity).toBe("");
});

test("stopped while it takes the lease, it does not keep it", async () => {
  let answer = () => {};
  server.intercept = ({ method }) =>
    method === "POST"
      ? new Promise<undefined>((go) => {
          answer = () => go(undefined);
        })
      : undefined;
  const a = join("a");
  await until(() => server.requests.some(({ method }) => method === "POST"), "the request");
  a.stop.abort();
  await idle();
  answer();
  await a.election.ended;
  expect(lease().spec?.holderIdentity).toBe("");
  expect(a.terms).toEqual([]);
});

test("refuses times with which a lost leader would lead on", () => {
  expect(() => join("a", { renewDeadline: 15_000 })).toThrow("leaseDuration > renewDeadline");
  expect(() => join("a", { retryPeriod: 9000 })).toThrow("leaseDuration > renewDeadline");
});

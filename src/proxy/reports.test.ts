import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { OPERATOR_HOST } from "../mesh/index.ts";
import { ip } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { FakeOperator } from "../testkit/fake-operator.ts";
import { makeAuthority } from "../testkit/loopback-mesh.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { Direction } from "../wire/index.ts";
import { EdgeTable } from "./edges.ts";
import { GrpcClient } from "./grpc-client.ts";
import { Metrics } from "./metrics.ts";
import { Reporter } from "./reports.ts";

const authority = makeAuthority();
const middle = { bytes: (length: number) => new Uint8Array(length), fraction: () => 0.5 };

let clock: FakeClock;
let logger: MemoryLogger;
let operator: FakeOperator;
let grpc: GrpcClient;
let metrics: Metrics;
let edges: EdgeTable;
let bundleSequence: number;
let reporter: Reporter;

beforeEach(async () => {
  clock = new FakeClock();
  logger = new MemoryLogger();
  operator = new FakeOperator(authority);
  await operator.start();
  grpc = new GrpcClient({
    address: { host: "127.0.0.1", port: operator.port, serverName: OPERATOR_HOST },
    clock,
    roots: async () => authority.bundle().pem(),
    token: async () => "shop/web",
  });
  metrics = new Metrics();
  edges = new EdgeTable(clock);
  bundleSequence = 1;
  reporter = new Reporter({
    grpc,
    clock,
    random: middle,
    logger,
    sources: {
      version: "test",
      metrics,
      edges,
      bundleSequence: () => bundleSequence,
      reissueEpoch: () => 7,
      certificate: () => ({ serial: "ab", issuerKeyId: "cd", notBefore: 1, notAfter: 2, epoch: 7 }),
      draining: () => false,
    },
  });
});
afterEach(() => {
  reporter[Symbol.dispose]();
  grpc[Symbol.dispose]();
  operator.stop();
  expect(clock.pending).toBe(0);
});

const count = (batches: number) => operator.until(() => operator.reports.length === batches);

/** The proxy has taken the acknowledgement of everything it sent. */
async function settled(): Promise<void> {
  await reporter.settled();
}

test("the first batch says what is applied, the leaf, both clocks, counters and edges", async () => {
  metrics.count("inbound", "mtls");
  metrics.count("outbound", "failed-connect");
  edges.observe({ direction: "outbound", reason: "failed-connect", destination: { ip: ip("10.0.0.1"), port: 80 } });
  const started = clock.now();
  clock.advance(1000);
  reporter.start();
  await count(1);
  expect(operator.reports[0]).toEqual({
    sequence: 1,
    clockMillis: started + 1000,
    startedMillis: started,
    proxyVersion: "test",
    bundleSequence: 1,
    reissueEpoch: 7,
    leaf: { serial: "ab", issuerKeyId: "cd", notAfterMillis: 2, epoch: 7 },
    draining: false,
    counters: [
      { reason: "failed-connect", direction: Direction.DIRECTION_OUTBOUND, connections: 1 },
      { reason: "mtls", direction: Direction.DIRECTION_INBOUND, connections: 1 },
    ],
    edges: [
      {
        direction: Direction.DIRECTION_OUTBOUND,
        peer: "",
        destination: "10.0.0.1",
        port: 80,
        reason: "failed-connect",
        connections: 1,
        lastSeenMillis: started,
      },
    ],
    edgesDropped: 0,
  });
});

describe("after that", () => {
  test("one goes out every 10 s", async () => {
    reporter.start();
    await count(1);
    await settled();
    clock.advance(9_999);
    expect(operator.reports).toHaveLength(1);
    clock.advance(1);
    await count(2);
    expect(operator.reports[1]?.sequence).toBe(2);
  });

  test("one goes out at once when something changed", async () => {
    reporter.start();
    await count(1);
    await settled();
    bundleSequence = 2;
    reporter.changed();
    await count(2);
    expect(operator.reports[1]?.bundleSequence).toBe(2);
  });

  test("changes during a batch under way become one more batch, which says the last state", async () => {
    operator.deaf = true;
    reporter.start();
    await count(1);
    for (bundleSequence = 2; bundleSequence < 9; bundleSequence++) reporter.changed();
    expect(operator.reports).toHaveLength(1);
    operator.deaf = false;
    operator.acknowledge(1);
    await count(2);
    expect(operator.reports[1]?.bundleSequence).toBe(9);
    await settled();
    expect(operator.reports).toHaveLength(2);
  });

  test("a batch that is not acknowledged within 20 s is said again on a new stream", async () => {
    operator.deaf = true;
    reporter.start();
    await count(1);
    clock.advance(20_000);
    const { fields } = await logger.nth("reports are away", 1);
    operator.deaf = false;
    clock.advance(Number(fields["retryInMillis"]));
    await count(2);
    expect(operator.reports[1]?.sequence).toBe(1);
    await settled();
  });
});

describe("a stream that ends", () => {
  test("is opened again after a back-off, and its first batch is number 1", async () => {
    reporter.start();
    await count(1);
    await settled();
    operator.cutReports();
    const { fields } = await logger.nth("reports are away", 1);
    expect(fields["retryInMillis"]).toBe(500);
    clock.advance(500);
    await count(2);
    expect(operator.reports[1]?.sequence).toBe(1);
  });

  test("right after each acknowledgement is opened again ever more slowly", async () => {
    reporter.start();
    const waits: unknown[] = [];
    for (let times = 1; times <= 4; times++) {
      await count(times);
      await settled();
      operator.cutReports();
      const { fields } = await logger.nth("reports are away", times);
      waits.push(fields["retryInMillis"]);
      clock.advance(Number(fields["retryInMillis"]));
    }
    expect(waits).toEqual([500, 1000, 2000, 4000]);
  });

  test("with a change not said yet says it on the next one", async () => {
    operator.deaf = true;
    reporter.start();
    await count(1);
    bundleSequence = 5;
    reporter.changed();
    operator.cutReports();
    await logger.nth("reports are away", 1);
    operator.deaf = false;
    clock.advance(500);
    await count(2);
    expect(operator.reports[1]?.bundleSequence).toBe(5);
    await settled();
    expect(operator.reports).toHaveLength(2);
  });
});

test("disposed, it leaves nothing behind, and who waits for it waits no more", async () => {
  operator.deaf = true;
  reporter.start();
  await count(1);
  const waiting = settled();
  reporter[Symbol.dispose]();
  await waiting;
});

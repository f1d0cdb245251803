import { beforeEach, describe, expect, test } from "bun:test";
import type { Reason } from "../mesh/index.ts";
import { ip } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { AccessLog } from "./access-log.ts";
import { EdgeTable } from "./edges.ts";
import { Metrics } from "./metrics.ts";

let clock: FakeClock;
let logger: MemoryLogger;
let metrics: Metrics;
let log: AccessLog;
beforeEach(() => {
  clock = new FakeClock();
  logger = new MemoryLogger();
  metrics = new Metrics();
  log = new AccessLog(metrics, logger, clock, new EdgeTable(clock));
});

function record(reason: Reason, times = 1): void {
  for (let i = 0; i < times; i++) log.record({ direction: "inbound", reason });
}

test("a connection is one line with its reason, endpoints and what went wrong", () => {
  log.record({
    direction: "outbound",
    reason: "failed-connect",
    source: { ip: ip("10.0.0.1"), port: 40_000 },
    destination: { ip: ip("fd00::9"), port: 80 },
    detail: "ECONNREFUSED",
  });
  expect(logger.lines).toEqual([
    {
      level: "info",
      message: "connection",
      fields: {
        direction: "outbound",
        reason: "failed-connect",
        source: "10.0.0.1:40000",
        destination: "[fd00::9]:80",
        peer: undefined,
        detail: "ECONNREFUSED",
        suppressed: undefined,
      },
    },
  ]);
});

test("refusals are warnings, failures information, the rest for debugging", () => {
  for (const reason of ["refused-strict", "failed-discovery", "mtls", "plaintext-external"] as const) record(reason);
  expect(logger.lines.map((line) => line.level)).toEqual(["warn", "info", "debug", "debug"]);
});

describe("a flood of refusals", () => {
  test("writes 50 lines, then 10 a second, and the next line says how many were left out; all are counted", () => {
    record("refused-strict", 1000);
    expect(logger.lines).toHaveLength(50);
    clock.advance(1000);
    record("refused-strict", 100);
    expect(logger.lines).toHaveLength(60);
    expect(logger.lines[50]?.fields["suppressed"]).toBe(950);
    expect(metrics.of("inbound", "refused-strict")).toBe(1100);
  });

  test("goes on being logged after the clock was set back", () => {
    record("refused-strict", 1000);
    clock.step(clock.now() - 3_600_000);
    record("refused-strict");
    clock.advance(1000);
    record("refused-strict", 100);
    expect(logger.lines).toHaveLength(60);
  });
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { reportBatch } from "../testkit/operator-stage.ts";
import { Direction, METHODS, type ReportBatch } from "../wire/index.ts";
import { Refusal } from "./errors.ts";
import { checkReport, MOST_EDGES } from "./report-check.ts";

const EDGE: ReportBatch["edges"][number] = {
  direction: Direction.DIRECTION_OUTBOUND,
  peer: "spiffe://cluster.local/ns/shop/sa/db",
  destination: "10.244.0.9",
  port: 5432,
  reason: "mtls",
  connections: 3,
  lastSeenMillis: 1,
};
const LEAF = { serial: "0a", issuerKeyId: "ff", notAfterMillis: 1, epoch: 0 };
const COUNTER = { reason: "mtls", direction: Direction.DIRECTION_INBOUND, connections: 1 };

describe("a report", () => {
  test("passes unchanged when it is what a proxy sends", () => {
    const batch = reportBatch({
      leaf: LEAF,
      counters: [COUNTER, { ...COUNTER, reason: "refused-strict" }],
      edges: [EDGE, { ...EDGE, peer: "", destination: "2001:db8::1" }, { ...EDGE, destination: "shop/db.shop.svc" }],
      edgesDropped: 4,
    });
    expect(checkReport(batch)).toEqual(batch);
  });

  test("counts by the words of the closed list, once for each word and direction", () => {
    const counters = [
      COUNTER,
      { ...COUNTER, connections: 2 },
      { ...COUNTER, reason: "refused-for-fun" },
      { ...COUNTER, reason: "__proto__" },
      { ...COUNTER, direction: Direction.DIRECTION_UNSPECIFIED },
      { ...COUNTER, direction: 77 as Direction },
    ];
    expect(checkReport(reportBatch({ counters })).counters).toEqual([{ ...COUNTER, connections: 2 }]);
  });

  test("keeps a bounded number of edges and says how many it lost", () => {
    const edges = Array.from({ length: MOST_EDGES + 3 }, (_, port) => ({ ...EDGE, port: port + 1 }));
    const checked = checkReport(reportBatch({ edges, edgesDropped: 1 }));
    expect([checked.edges.length, checked.edgesDropped]).toEqual([MOST_EDGES, 4]);
  });

  test.each([
    ["no reason", { reason: "" }],
    ["an unknown reason", { reason: "mtls " }],
    ["no direction", { direction: Direction.DIRECTION_UNSPECIFIED }],
    ["a peer that is no SPIFFE ID", { peer: "spiffe://cluster.local/../x" }],
    ["a peer that writes to the log", { peer: "\u001b[2J" }],
    ["markup for a destination", { destination: "<img src=x>" }],
    ["a line for a destination", { destination: "a\nb" }],
    ["a destination without end", { destination: "a".repeat(321) }],
    ["no port", { port: 0 }],
    ["a port that there is not", { port: 65_536 }],
    ["a time that no date has", { lastSeenMillis: 9e15 }],
  ])("loses an edge with %s", (_what, changes) => {
    const checked = checkReport(reportBatch({ edges: [{ ...EDGE, ...changes }, EDGE] }));
    expect(checked.edges).toEqual([EDGE]);
    expect(checked.edgesDropped).toBe(1);
  });

  test.each([
    ["a serial that is not hexadecimal", { leaf: { ...LEAF, serial: "xyz" } }],
    ["a serial without end", { leaf: { ...LEAF, serial: "0".repeat(41) } }],
    ["a leaf without issuer", { leaf: { ...LEAF, issuerKeyId: "" } }],
    ["a leaf that ends in no year", { leaf: { ...LEAF, notAfterMillis: Number.MAX_SAFE_INTEGER } }],
    ["a clock beyond all dates", { clockMillis: 8.64e15 + 1 }],
    ["a start beyond all dates", { startedMillis: 8.64e15 + 1 }],
  ])("is refused with %s: a rotation waits for its state", (_what, changes) => {
    expect(() => checkReport(reportBatch(changes))).toThrow(Refusal);
  });

  test("names a version that can be printed, or none", () => {
    const version = (proxyVersion: string) => checkReport(reportBatch({ proxyVersion })).proxyVersion;
    expect([version("1.2.3-rc.1"), version("v".repeat(100)), version("1\n2")]).toEqual([
      "1.2.3-rc.1",
      "v".repeat(64),
      "",
    ]);
  });

  test("is small afterwards, whatever was sent", () => {
    const edge = fc.record({
      direction: fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<Direction>,
      peer: fc.constantFrom("", EDGE.peer, "x"),
      destination: fc.string({ maxLength: 400 }),
      port: fc.nat(70_000),
      reason: fc.constantFrom("mtls", "refused-strict", "nonsense"),
      connections: fc.nat(),
      lastSeenMillis: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(edge, { maxLength: 700, size: "max" }), (edges) => {
        const checked = checkReport(reportBatch({ edges }));
        expect(checked.edges.length + checked.edgesDropped).toBe(edges.length);
        expect(METHODS.pushReports.encodeRequest(checked).length).toBeLessThan(MOST_EDGES * 2_500);
      }),
      { numRuns: 20 },
    );
  });
});

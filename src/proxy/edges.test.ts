import { expect, test } from "bun:test";
import { parseSpiffeId } from "../identity/index.ts";
import { ip } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { EDGE_LIMIT, EdgeTable } from "./edges.ts";
import type { Outcome } from "./outcome.ts";

const peer = parseSpiffeId("spiffe://cluster.local/ns/shop/sa/web");
const seen = (port: number, more: Partial<Outcome> = {}): Outcome => ({
  direction: "inbound",
  reason: "mtls",
  destination: { ip: ip("10.0.0.1"), port },
  peer,
  ...more,
});

test("totals connections of one kind and remembers when the last one was", () => {
  const clock = new FakeClock();
  const table = new EdgeTable(clock);
  table.observe(seen(80));
  clock.advance(1000);
  table.observe(seen(80));
  table.observe(seen(80, { reason: "refused-policy" }));
  expect([...table.all()]).toMatchObject([
    { port: 80, reason: "mtls", connections: 2, lastSeen: clock.now(), peer },
    { port: 80, reason: "refused-policy", connections: 1 },
  ]);
});

test("leaves out a connection of which it is not known where it went", () => {
  const table = new EdgeTable(new FakeClock());
  table.observe(seen(80, { destination: undefined }));
  expect([...table.all()]).toEqual([]);
});

test("a scan of many ports is bounded and does not hide the edges that are used", () => {
  const table = new EdgeTable(new FakeClock());
  for (let port = 1; port <= EDGE_LIMIT * 2; port++) {
    table.observe(seen(80));
    table.observe(seen(1000 + port, { reason: "refused-strict", peer: undefined }));
  }
  table.observe(seen(443));
  const edges = [...table.all()];
  expect(edges).toHaveLength(EDGE_LIMIT);
  expect(edges.find((edge) => edge.port === 80)?.connections).toBe(EDGE_LIMIT * 2);
  expect(edges.find((edge) => edge.port === 443)?.connections).toBe(1);
  expect(table.dropped).toBe(EDGE_LIMIT + 2);
});

/** Every figure that a test tells, with what it means: the one table of which report, goals and plot are made. */

/** In the order in which they are run; `memory` comes first because it takes proxies that have carried nothing yet. */
export const TESTS = ["memory", "keepalive", "newconn", "bulk", "fixed", "seventy"] as const;
export type TestName = (typeof TESTS)[number];

export interface Metric {
  /** As in `Measured.values`: the test, a point, the figure. */
  readonly key: string;
  /** With its unit. */
  readonly title: string;
  readonly digits: number;
  /** What one unit of the value is in the unit of the title. */
  readonly scale?: number;
  /** Also shown without the median of `direct`: what the proxies add. */
  readonly added?: true;
}

export interface TestTable {
  readonly test: TestName;
  readonly title: string;
  readonly metrics: readonly Metric[];
}

const MILLISECONDS = 1e-3;

function rated(test: "fixed" | "seventy", title: string): TestTable {
  return {
    test,
    title,
    metrics: [
      { key: `${test}.rate`, title: "requests/s", digits: 0 },
      { key: `${test}.p50`, title: "p50 µs", digits: 0, added: true },
      { key: `${test}.p99`, title: "p99 µs", digits: 0, added: true },
      { key: `${test}.cpu`, title: "CPU µs/request, both proxies", digits: 1 },
    ],
  };
}

export const TEST_TABLES: readonly TestTable[] = [
  {
    test: "keepalive",
    title: "Requests as fast as they are answered: 1 KB, 64 kept connections",
    metrics: [
      { key: "keepalive.rate", title: "requests/s", digits: 0 },
      { key: "keepalive.p50", title: "p50 ms", digits: 2, scale: MILLISECONDS },
      { key: "keepalive.p99", title: "p99 ms", digits: 2, scale: MILLISECONDS },
      { key: "keepalive.cpu", title: "CPU µs/request, both proxies", digits: 1 },
    ],
  },
  {
    test: "newconn",
    title: "A new connection for each request: 1 KB, 32 at a time",
    metrics: [
      { key: "newconn.rate", title: "connections/s", digits: 0 },
      { key: "newconn.p50", title: "p50 ms", digits: 2, scale: MILLISECONDS },
      { key: "newconn.p99", title: "p99 ms", digits: 2, scale: MILLISECONDS },
      { key: "newconn.cpu", title: "CPU µs/connection, both proxies", digits: 0 },
    ],
  },
  {
    test: "bulk",
    title: "1 GiB by one connection down, up, and by two connections both ways at the same time (the sum)",
    metrics: [
      { key: "bulk.down", title: "down MB/s", digits: 0 },
      { key: "bulk.up", title: "up MB/s", digits: 0 },
      { key: "bulk.both", title: "both MB/s", digits: 0 },
      { key: "bulk.down-cpu", title: "CPU s/GiB down, both proxies", digits: 2 },
      { key: "bulk.up-cpu", title: "CPU s/GiB up, both proxies", digits: 2 },
    ],
  },
  rated("fixed", "At 1,000 requests/s"),
  rated("seventy", "At 70 % of the nginx pair's requests/s"),
  {
    test: "memory",
    title: "Resident memory (VmRSS, MiB) of freshly started proxies, outbound and inbound",
    metrics: [
      { key: "memory.idle-outbound", title: "idle, outbound", digits: 1 },
      { key: "memory.idle-inbound", title: "idle, inbound", digits: 1 },
      { key: "memory.1000-outbound", title: "1,000 idle connections, outbound", digits: 1 },
      { key: "memory.1000-inbound", title: "1,000, inbound", digits: 1 },
      { key: "memory.5000-outbound", title: "5,000 idle connections, outbound", digits: 1 },
      { key: "memory.5000-inbound", title: "5,000, inbound", digits: 1 },
      { key: "memory.idle-cpu", title: "CPU % of both with 5,000 idle", digits: 1 },
    ],
  },
];

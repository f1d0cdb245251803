/** Results in small, for tests of the report. */
import type { Results, Run } from "./results.ts";

export function run(pair: string, round: number, values: Readonly<Record<string, number>>): Run {
  return { pair, test: "keepalive", round, values, others: 0.1, errors: 0 };
}

/** Tulle with twice nginx's requests/s and half its CPU, in three rounds; haproxy a little better than nginx. */
export function smallResults(changes: Partial<Results> = {}): Results {
  const rounds = [1, 2, 3];
  const pair = (name: string, rate: number, cpu: number) =>
    rounds.map((round) => run(name, round, { "keepalive.rate": rate + round, "keepalive.cpu": cpu }));
  return {
    started: "2026-11-25T03:00:00.000Z",
    commit: "abc1234",
    machine: { processor: "Some CPU", cores: 2, memoryGigabytes: 25, kernel: "6.1.0" },
    rounds: rounds.length,
    quietBelow: 0.5,
    pairs: ["direct", "tulle", "nginx", "haproxy"].map((name) => ({ name, about: `about ${name}`, version: "1.0" })),
    leftOut: [{ name: "ztunnel", why: "cargo is missing" }],
    runs: [
      ...pair("direct", 99_998, 0),
      ...pair("tulle", 59_998, 15),
      ...pair("nginx", 29_998, 30),
      ...pair("haproxy", 39_998, 25),
    ],
    losses: [],
    ...changes,
  };
}

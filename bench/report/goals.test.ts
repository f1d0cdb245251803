import { describe, expect, test } from "bun:test";
import { type Goal, judge } from "./goals.ts";
import { run, smallResults } from "./results.fixture.ts";
import { summarize } from "./results.ts";

const PAIRS = ["direct", "tulle", "nginx", "haproxy"];
const MORE: Goal = { what: "requests/s", metric: "keepalive.rate", better: "more", toNginx: 2, toBest: 1.6 };
const LESS: Goal = { what: "CPU", metric: "keepalive.cpu", better: "less", toNginx: 0.5, toBest: 0.5 };

describe("judge", () => {
  const summary = summarize(smallResults().runs);

  test("takes medians, and the best of the peers, which direct is not", () => {
    const { toNginx, toBest } = judge(MORE, summary, PAIRS);
    expect(toNginx).toEqual({ value: 2, bound: 2, reached: true });
    expect(toBest).toEqual({ value: 1.5, bound: 1.6, reached: false, peer: "haproxy" });
  });

  test("the best has the least where less is better", () => {
    const { toNginx, toBest } = judge(LESS, summary, PAIRS);
    expect(toNginx).toEqual({ value: 0.5, bound: 0.5, reached: true });
    expect(toBest).toEqual({ value: 0.6, bound: 0.5, reached: false, peer: "haproxy" });
  });

  test("nginx is a peer too, and may be the best", () => {
    expect(judge(MORE, summary, ["tulle", "nginx"]).toBest).toMatchObject({ value: 2, peer: "nginx" });
  });

  test("a limit judges Tulle's own median", () => {
    const goal: Goal = { what: "RSS", metric: "memory.idle", better: "less", limit: 40 };
    const of = (...values: number[]) =>
      summarize(values.map((value, index) => run("tulle", index + 1, { "memory.idle": value })));
    expect(judge(goal, of(39, 40, 90), PAIRS)).toMatchObject({ limit: { value: 40, reached: true } });
    expect(judge(goal, of(39, 41, 90), PAIRS)).toMatchObject({ limit: { value: 41, reached: false } });
  });

  test("what was not measured is not judged", () => {
    const unmeasured = judge({ ...MORE, metric: "newconn.rate" }, summary, PAIRS);
    expect(unmeasured).toMatchObject({ toNginx: undefined, toBest: undefined, limit: undefined });
  });
});

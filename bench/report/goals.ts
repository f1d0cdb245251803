/** What Tulle wants to reach, and whether it has: medians of one run against those of the nginx pair and of the best peer. */
import type { Summary } from "./results.ts";

export interface Goal {
  readonly what: string;
  readonly metric: string;
  readonly better: "more" | "less";
  /** Bounds of Tulle's median divided by the other's. */
  readonly toNginx?: number;
  readonly toBest?: number;
  /** Bound of Tulle's median itself. */
  readonly limit?: number;
}

export const GOALS: readonly Goal[] = [
  { what: "requests/s, kept connections", metric: "keepalive.rate", better: "more", toNginx: 1.4, toBest: 1.3 },
  { what: "CPU per request, both proxies", metric: "keepalive.cpu", better: "less", toNginx: 0.6, toBest: 0.75 },
  { what: "new connections/s", metric: "newconn.rate", better: "more", toNginx: 6, toBest: 1.3 },
  { what: "bulk MB/s down, one connection", metric: "bulk.down", better: "more", toNginx: 1.1, toBest: 1 },
  { what: "bulk MB/s up, one connection", metric: "bulk.up", better: "more", toNginx: 1.1, toBest: 1 },
  { what: "p99 at 70 % of nginx's maximum", metric: "seventy.p99", better: "less", toNginx: 0.7, toBest: 1 },
  { what: "p50 at 1,000 requests/s", metric: "fixed.p50", better: "less", toNginx: 1, toBest: 1.1 },
  { what: "RSS idle, MiB, the larger proxy", metric: "memory.idle", better: "less", limit: 40 },
  { what: "RSS with 5,000 idle connections, MiB, the larger proxy", metric: "memory.5000", better: "less", limit: 60 },
];

/** A figure against its bound. */
export interface Judgement {
  readonly value: number;
  readonly bound: number;
  readonly reached: boolean;
}

export interface JudgedGoal {
  readonly goal: Goal;
  /** Undefined where there is no bound, or something was not measured. */
  readonly toNginx: Judgement | undefined;
  readonly toBest: (Judgement & { readonly peer: string }) | undefined;
  readonly limit: Judgement | undefined;
}

/** `pairs` are the names of all that were measured. */
export function judge(goal: Goal, summary: Summary, pairs: readonly string[]): JudgedGoal {
  const median = (pair: string) => summary(pair, goal.metric)?.median;
  const ours = median("tulle");
  const against = (value: number | undefined, bound: number | undefined): Judgement | undefined => {
    if (value === undefined || bound === undefined) return undefined;
    return { value, bound, reached: goal.better === "more" ? value >= bound : value <= bound };
  };
  const ratio = (other: number | undefined) => (ours === undefined || other === undefined ? undefined : ours / other);
  const peers = pairs
    .filter((pair) => pair !== "tulle" && pair !== "direct")
    .flatMap((pair) => {
      const value = median(pair);
      return value === undefined ? [] : [{ pair, value }];
    })
    .toSorted((a, b) => (goal.better === "more" ? b.value - a.value : a.value - b.value));
  const [best] = peers;
  const toBest = against(ratio(best?.value), goal.toBest);
  return {
    goal,
    toNginx: against(ratio(median("nginx")), goal.toNginx),
    toBest: toBest === undefined || best === undefined ? undefined : { ...toBest, peer: best.pair },
    limit: against(ours, goal.limit),
  };
}

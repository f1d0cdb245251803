/** What a run of the benchmark leaves, as in results.json, and the summary of it. */
import type { TestName } from "../metrics.ts";
import { type Spread, spread } from "../statistics.ts";

/** One test of one pair. */
export interface Run {
  readonly pair: string;
  readonly test: TestName;
  /** From 1. */
  readonly round: number;
  readonly values: Readonly<Record<string, number>>;
  /** Cores that others used meanwhile. */
  readonly others: number;
  /** Connections and requests that failed. */
  readonly errors: number;
}

/** What did not become a run. */
export interface Loss {
  readonly pair: string;
  readonly test: TestName | "pair";
  readonly round: number;
  readonly why: string;
}

export interface Results {
  /** ISO 8601. */
  readonly started: string;
  /** Of the project, as `git describe` names it. */
  readonly commit: string;
  readonly machine: {
    readonly processor: string;
    readonly cores: number;
    readonly memoryGigabytes: number;
    readonly kernel: string;
  };
  readonly rounds: number;
  readonly quietBelow: number;
  readonly pairs: readonly { readonly name: string; readonly about: string; readonly version: string }[];
  readonly leftOut: readonly { readonly name: string; readonly why: string }[];
  readonly runs: readonly Run[];
  readonly losses: readonly Loss[];
}

/** Of a pair's figure over all rounds; undefined when it was never measured. */
export type Summary = (pair: string, metric: string) => Spread | undefined;

export function summarize(runs: readonly Run[]): Summary {
  const values = new Map<string, number[]>();
  for (const { pair, values: told } of runs) {
    for (const [metric, value] of Object.entries(told)) {
      const key = `${pair} ${metric}`;
      const known = values.get(key);
      if (known === undefined) values.set(key, [value]);
      else known.push(value);
    }
  }
  return (pair, metric) => spread(values.get(`${pair} ${metric}`) ?? []);
}

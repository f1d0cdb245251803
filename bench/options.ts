/** What the variables of `make bench` choose. */
import { TESTS, type TestName } from "./metrics.ts";

export interface Options {
  /** Names of pairs, in the order of the table of pairs. */
  readonly pairs: readonly string[];
  readonly tests: readonly TestName[];
  readonly rounds: number;
  /** Cores: a test during which others used more is discarded. */
  readonly quietBelow: number;
  /** Runs Tulle's proxies under the profiler. */
  readonly profile: boolean;
  /** Something was left out or changed, so the results are no full comparison. */
  readonly partial: boolean;
}

/** Rounds of a full comparison, and the fewest that it may have. */
const ROUNDS = 5;
const QUIET_BELOW = 0.5;

/** `all` are the names of all pairs. Throws RangeError, naming the variable and what it can be. */
export function readOptions(env: Readonly<Record<string, string | undefined>>, all: readonly string[]): Options {
  const pairs = chosen(env, "PAIRS", all);
  const tests = chosen(env, "TESTS", TESTS);
  const rounds = number(env, "ROUNDS", ROUNDS);
  const quietBelow = number(env, "QUIET_BELOW", QUIET_BELOW);
  const profile = (env["PROFILE"] ?? "") !== "";
  if (!Number.isInteger(rounds)) throw new RangeError(`ROUNDS=${rounds} is no whole number`);
  if (tests.includes("seventy") && !(tests.includes("keepalive") && pairs.includes("nginx")))
    throw new RangeError("the test seventy needs nginx's requests/s: PAIRS must hold nginx, and TESTS keepalive");
  const whole = pairs.length === all.length && tests.length === TESTS.length && rounds >= ROUNDS;
  return { pairs, tests, rounds, quietBelow, profile, partial: !whole || quietBelow > QUIET_BELOW || profile };
}

function chosen<T extends string>(
  env: Readonly<Record<string, string | undefined>>,
  name: string,
  all: readonly T[],
): readonly T[] {
  const text = env[name] ?? "";
  if (text === "") return all;
  const words = text.split(",").map((word) => word.trim());
  const unknown = words.find((word) => !all.some((one) => one === word));
  if (unknown !== undefined) throw new RangeError(`${name}: there is no ${unknown}; there are ${all.join(", ")}`);
  return all.filter((one) => words.includes(one));
}

function number(env: Readonly<Record<string, string | undefined>>, name: string, otherwise: number): number {
  const text = env[name] ?? "";
  if (text === "") return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`${name}=${text} is no number above 0`);
  return value;
}

/** The results as Markdown: goals, one table a test, what was left out and what was lost. */
import { type Metric, TEST_TABLES, type TestTable } from "../metrics.ts";
import type { Spread } from "../statistics.ts";
import { GOALS, type JudgedGoal, type Judgement, judge } from "./goals.ts";
import { type Loss, type Results, type Summary, summarize } from "./results.ts";

/** `plot` is the file of the plot, beside the text's. */
export function renderMarkdown(results: Results, plot: string): string {
  const summary = summarize(results.runs);
  const pairs = results.pairs.map(({ name }) => name);
  const goals = GOALS.map((goal) => judge(goal, summary, pairs));
  const tables = TEST_TABLES.filter(({ test }) => results.runs.some((run) => run.test === test));
  return `${[
    "# Proxy pairs side by side",
    introduction(results),
    `![plot](${plot})`,
    "## Goals",
    "Tulle's median divided by the other's, or itself where a limit is given.",
    table(["figure", "Tulle / nginx", "wanted", "Tulle / best peer", "wanted", "reached"], goals.map(goalRow)),
    "## Figures",
    "Median (minimum–maximum) over the rounds.",
    ...tables.flatMap((one) => [`### ${one.title}`, figures(one, summary, pairs)]),
    "## Pairs",
    table(
      ["pair", "what it is", "version"],
      results.pairs.map(({ name, about, version }) => [name, about, version]),
    ),
    "## Left out",
    list(results.leftOut.map(({ name, why }) => `${name}: ${why}`)),
    "## Discarded and failed",
    list(losses(results.losses)),
    ...failures(results),
  ].join("\n\n")}\n`;
}

function introduction({ started, commit, machine, rounds, quietBelow, runs }: Results): string {
  const others = Math.max(0, ...runs.filter(({ test }) => test !== "memory").map((run) => run.others));
  return [
    `${started.slice(0, 10)}, Tulle ${commit}, ${machine.processor}, ${machine.cores} cores, ${machine.memoryGigabytes} GB, Linux`,
    `${machine.kernel}. ${rounds} rounds, the order of the pairs turned round in each. A test counts when others used less than`,
    `${quietBelow} cores meanwhile; of those that count, the worst had ${others.toFixed(2)}. **Only ratios within this page mean`,
    "anything.** How it is measured: bench/README.md.",
  ].join("\n");
}

function goalRow({ goal, toNginx, toBest, limit }: JudgedGoal): string[] {
  const judged = [toNginx, toBest, limit].filter((one) => one !== undefined);
  const sign = goal.better === "more" ? "≥" : "≤";
  const wanted = (one: Judgement | undefined) => (one === undefined ? "" : `${sign} ${one.bound}`);
  const value = (one: Judgement | undefined) => (one === undefined ? "–" : one.value.toFixed(2));
  const reached = judged.length === 0 ? "not measured" : judged.every((one) => one.reached) ? "yes" : "**no**";
  if (goal.limit !== undefined)
    return [`${goal.what}: ${limit === undefined ? "–" : limit.value.toFixed(1)}`, "", "", "", wanted(limit), reached];
  const best = toBest === undefined ? "–" : `${value(toBest)} (${toBest.peer})`;
  return [goal.what, value(toNginx), wanted(toNginx), best, wanted(toBest), reached];
}

function figures({ test, metrics }: TestTable, summary: Summary, pairs: readonly string[]): string {
  const columns = metrics.flatMap((metric) => [
    { title: metric.title, cell: (pair: string) => cell(summary(pair, metric.key), metric) },
    ...(metric.added === undefined
      ? []
      : [{ title: `added ${metric.title}`, cell: (pair: string) => added(pair, metric, summary) }]),
  ]);
  const count = (pair: string) => String(Math.max(0, ...metrics.map(({ key }) => summary(pair, key)?.count ?? 0)));
  const shown = test === "memory" ? pairs.filter((pair) => pair !== "direct") : pairs;
  return table(
    ["pair", ...columns.map(({ title }) => title), "runs"],
    shown.map((pair) => [pair, ...columns.map((column) => column.cell(pair)), count(pair)]),
  );
}

function cell(found: Spread | undefined, { digits, scale = 1 }: Metric): string {
  if (found === undefined) return "–";
  const shown = (value: number) => (value * scale).toFixed(digits);
  return `${shown(found.median)} (${shown(found.min)}–${shown(found.max)})`;
}

function added(pair: string, { key, digits, scale = 1 }: Metric, summary: Summary): string {
  const own = summary(pair, key);
  const base = summary("direct", key);
  if (own === undefined || base === undefined || pair === "direct") return "–";
  return ((own.median - base.median) * scale).toFixed(digits);
}

/** Those of one pair and test that have the same reason in one line. */
function losses(all: readonly Loss[]): string[] {
  const grouped = Map.groupBy(all, ({ pair, test, why }) => `${pair}, ${test}: ${why}`);
  return [...grouped].map(([text, same]) => `${text} (round ${same.map(({ round }) => round).join(", ")})`);
}

function failures({ runs }: Results): string[] {
  const failed = runs.filter(({ errors }) => errors > 0);
  if (failed.length === 0) return [];
  const lines = failed.map(({ pair, test, round, errors }) => `${pair}, ${test}, round ${round}: ${errors}`);
  return ["## Connections and requests that failed", list(lines)];
}

function list(lines: readonly string[]): string {
  return lines.length === 0 ? "Nothing." : lines.map((line) => `- ${line}`).join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

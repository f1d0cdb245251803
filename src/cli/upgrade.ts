/** `tulle upgrade`: shows what would change, changes it, and waits until it works. */
import { Command, Option } from "commander";
import type { Change, UpgradePlan } from "../install/index.ts";
import { type ClusterOptions, durationOf, withCluster, withClusterOptions } from "./cluster-options.ts";
import { type ValuesOptions, valueSources, withValuesOptions } from "./values-options.ts";

interface UpgradeOptions extends ClusterOptions, ValuesOptions {
  readonly resetValues?: true;
  readonly dryRun?: true;
  readonly timeout: number;
}

export function upgradeCommand(): Command {
  const command = new Command("upgrade")
    .summary("bring the operator to this version, or to other values")
    .description(
      "Applies this version of the chart with the values of the last installation and those given now over them. Shows what " +
        "changes first. The CA stays, and running pods keep their sidecars until they are restarted.",
    );
  return withClusterOptions(withValuesOptions(command))
    .option("--reset-values", "forget the values of the last installation")
    .option("--dry-run", "show what would change, and end")
    .addOption(
      new Option("--timeout <duration>", "for it to work again").argParser(durationOf).default(durationOf("5m"), "5m"),
    )
    .addHelpText("after", "\nExamples:\n  tulle upgrade --dry-run\n  tulle upgrade --set replicas=3")
    .action(run);
}

async function run(options: UpgradeOptions): Promise<void> {
  const { givenValues, planUpgrade, upgrade, waitUntilReady } = await import("../install/index.ts");
  const { ConsoleProgress } = await import("./progress.ts");
  const given = givenValues(valueSources(options));
  await withCluster(options, async (cluster) => {
    const plan = await planUpgrade(cluster, given, options.resetValues === true);
    await tell(plan);
    if (options.dryRun === true) return;
    const progress = new ConsoleProgress(process.stderr);
    await upgrade(cluster, plan, progress);
    await waitUntilReady(cluster, progress, options.timeout);
    process.stdout.write(`Tulle ${plan.to} runs in namespace ${cluster.namespace}.\n`);
  });
}

async function tell({ from, to, changes }: UpgradePlan): Promise<void> {
  const { nameOf } = await import("../install/index.ts");
  const real = changes.filter((change) => change.kind !== "unchanged");
  process.stdout.write(from === to ? `Version ${to}.\n` : `Version ${from ?? "unknown"} → ${to}.\n`);
  if (real.length === 0) process.stdout.write("Nothing changes.\n");
  for (const change of real) process.stdout.write(`${SIGNS[change.kind]} ${nameOf(change.object)}\n${detail(change)}`);
}

const SIGNS: Readonly<Record<Change["kind"], string>> = { created: "+", changed: "~", deleted: "-", unchanged: " " };
const LONGEST_VALUE = 40;

function detail(change: Change): string {
  if (change.kind !== "changed") return "";
  return change.differences
    .map(({ path, before, after }) => `    ${path}\n      ${shown(before)} → ${shown(after)}\n`)
    .join("");
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

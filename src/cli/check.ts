/** `tulle check`: is the cluster fit, is the mesh well; each problem with its fix. */
import { Command, Option } from "commander";
import type { CheckResult, Verdict } from "../install/index.ts";
import { type ClusterOptions, withCluster, withClusterOptions } from "./cluster-options.ts";
import { type Colour, coloured, wrapped } from "./text.ts";

interface CheckOptions extends ClusterOptions {
  readonly pre?: true;
  readonly output: "table" | "json";
}

export function checkCommand(): Command {
  const command = new Command("check")
    .summary("is the mesh well, and if not, what to do")
    .description(
      "Judges an installation and what is around it; with --pre a cluster that is to get one. Changes nothing (one pod is " +
        "created in a dry run). Exit code 1 when a check fails; a warning is none.",
    );
  return withClusterOptions(command)
    .option("--pre", "judge a cluster before the installation")
    .addOption(new Option("-o, --output <form>", "how to print it").choices(["table", "json"]).default("table"))
    .addHelpText("after", "\nExamples:\n  tulle check --pre\n  tulle check -o json")
    .action(run);
}

async function run(options: CheckOptions): Promise<void> {
  const { runChecks, takeSnapshot } = await import("../install/index.ts");
  const { VERSION } = await import("./version.ts");
  await withCluster(options, async (cluster) => {
    if (process.stderr.isTTY === true) process.stderr.write("reading the cluster…");
    const snapshot = await takeSnapshot(cluster, VERSION);
    if (process.stderr.isTTY === true) process.stderr.write("\r\u001b[K");
    const results = runChecks(snapshot, options.pre === true ? "before" : "after");
    if (options.output === "json") process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
    else print(results);
    process.exitCode = results.some((one) => one.verdict === "fail") ? 1 : 0;
  });
}

const SHOWN: Readonly<Record<Verdict, { readonly word: string; readonly colour: Colour }>> = {
  pass: { word: "pass", colour: "green" },
  warn: { word: "warn", colour: "yellow" },
  fail: { word: "FAIL", colour: "red" },
};

function print(results: readonly CheckResult[]): void {
  const column = Math.max(...results.map(({ id }) => id.length)) + 8;
  const pad = " ".repeat(column);
  for (const { id, claim, verdict, findings } of results) {
    const problems = findings.filter((one) => one.verdict !== "pass");
    const { word, colour } = SHOWN[verdict];
    const facts = findings.map(({ text }) => text).join("; ");
    const [first = facts === "" ? claim : `${claim} (${facts})`, ...more] = problems.map(({ text }) => text);
    process.stdout.write(
      `${coloured(word, colour, process.stdout)}  ${id.padEnd(column - 6)}${wrapped(first, column)}\n`,
    );
    for (const [index, { fix }] of problems.entries()) {
      if (index > 0) process.stdout.write(`${pad}${wrapped(more[index - 1] ?? "", column)}\n`);
      if (fix !== undefined) process.stdout.write(`${pad}fix: ${wrapped(fix, column + 5)}\n`);
    }
  }
  const count = (verdict: Verdict) => results.filter((one) => one.verdict === verdict).length;
  process.stdout.write(`\n${count("pass")} passed, ${count("warn")} with a warning, ${count("fail")} failed\n`);
}

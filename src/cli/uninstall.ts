/** `tulle uninstall`: removes what Tulle made, once no pod needs it any more. */
import { createInterface } from "node:readline/promises";
import { Command, Option } from "commander";
import { TulleError } from "../mesh/index.ts";
import { type ClusterOptions, durationOf, withCluster, withClusterOptions } from "./cluster-options.ts";

interface UninstallOptions extends ClusterOptions {
  readonly roll?: true;
  readonly keepCa?: true;
  readonly yes?: true;
  readonly timeout: number;
}

export function uninstallCommand(): Command {
  const command = new Command("uninstall")
    .summary("take Tulle out of a cluster")
    .description(
      "Removes everything that Tulle made: what judges new pods first, so that the cluster can always create pods. Refuses " +
        "while pods are meshed, and lists them. After `helm uninstall` it removes what the operator had made.",
    );
  return withClusterOptions(command)
    .option("--roll", "take the pods out of the mesh first: let plaintext in, unlabel namespaces, restart workloads")
    .option("--keep-ca", "keep the CA's Secret: a later installation goes on with the same root")
    .option("-y, --yes", "do not ask whether the CA may be deleted")
    .addOption(
      new Option("--timeout <duration>", "for pods to end").argParser(durationOf).default(durationOf("10m"), "10m"),
    )
    .addHelpText("after", "\nExamples:\n  tulle uninstall\n  tulle uninstall --roll --keep-ca")
    .action(run);
}

async function run(options: UninstallOptions): Promise<void> {
  const { findInstallation, uninstall } = await import("../install/index.ts");
  const { ConsoleProgress } = await import("./progress.ts");
  await withCluster(options, async (cluster) => {
    const found = await findInstallation(cluster);
    const keepCa = options.keepCa === true;
    if (!keepCa && options.yes !== true) await ask(cluster.namespace);
    const progress = new ConsoleProgress(process.stderr);
    const { timeout } = options;
    await uninstall(cluster, { roll: options.roll === true, keepCa, timeout }, progress);
    process.stdout.write(
      keepCa ? "Tulle is uninstalled; its CA is kept.\n" : "Tulle is uninstalled; nothing of it is left.\n",
    );
    if (found?.helmRelease === undefined) return;
    process.stdout.write(
      `Helm still lists its release: helm uninstall ${found.helmRelease} --namespace ${cluster.namespace}\n`,
    );
  });
}

async function ask(namespace: string): Promise<void> {
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) {
    throw new TulleError("not-confirmed", "uninstalling deletes the mesh's CA, and nobody can be asked here", {
      exitCode: 2,
      hint: "Say --yes to delete it, or --keep-ca to keep it.",
    });
  }
  const dialogue = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await dialogue.question(`Delete Tulle from namespace ${namespace}, its CA included? (yes/no) `);
  dialogue.close();
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new TulleError("not-confirmed", "nothing was deleted", { hint: "--keep-ca uninstalls and keeps the CA." });
}

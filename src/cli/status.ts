/** `tulle status`: is everything in the mesh, and if not, why? Of a running play, or of a cluster. */
import { Command, Option } from "commander";
import { TulleError } from "../mesh/index.ts";
import { type MeshReport, meshReport, type StatusReport, type Target } from "../status/index.ts";
import { withConnection, withConnectionOptions } from "./cluster-options.ts";
import { statusText } from "./status-text.ts";
import { coloured } from "./text.ts";
import { playToAsk } from "./where.ts";

interface StatusOptions {
  readonly namespace?: string;
  readonly all?: true;
  readonly output: "table" | "json";
  readonly operatorNamespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
}

export function statusCommand(): Command {
  const command = new Command("status")
    .summary("who is in the mesh, who is not, and why")
    .description(
      "Shows the control plane, each namespace of the mesh, and every pod that should be meshed and is not, with the reason " +
        "and what to do. Asks the play that runs on this machine, else the cluster; beside a play, name the cluster by " +
        "--context or --kubeconfig. Exit code 0 when the control plane is ready and no pod is outside that should be in, else 1.",
    )
    .option("-n, --namespace <name>", "the pods of one namespace alone")
    .option("--all", "list the pods, too, that are outside by choice")
    .addOption(new Option("-o, --output <form>", "how to print it").choices(["table", "json"]).default("table"))
    .option("--operator-namespace <name>", "where the operator is, for those who may not look for it");
  return withConnectionOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  tulle status\n  tulle status -n shop --all\n  tulle status -o json | jq '.pods[] | select(.state == \"unmeshed\")'",
    )
    .action(run);
}

async function run(options: StatusOptions): Promise<void> {
  const named = [options.kubeconfig, options.context, options.operatorNamespace].some((one) => one !== undefined);
  const play = await playToAsk(named, process.env);
  if (play !== undefined)
    return print({ kind: "play", process: play.record.pid }, await play.status(options.namespace), options);
  await ofCluster(options);
}

async function ofCluster(options: StatusOptions): Promise<void> {
  const { isKubeError } = await import("../kube/index.ts");
  const { readMesh } = await import("../install/index.ts");
  const { namespace, operatorNamespace } = options;
  try {
    await withConnection(options, async (cluster, server) => {
      const facts = await readMesh(cluster, { namespace, operatorNamespace });
      print({ kind: "cluster", server }, meshReport(facts), options);
    });
  } catch (error) {
    if (!isKubeError(error, "no-config")) throw error;
    throw new TulleError("nobody-to-ask", "no play runs here, and no cluster is configured", {
      cause: error,
      hint: "Start a play (tulle play FILE), or name a cluster: --kubeconfig FILE, or KUBECONFIG.",
    });
  }
}

function print(target: Target, mesh: MeshReport, { output, all }: StatusOptions): void {
  const report: StatusReport = { target, ...mesh };
  process.stdout.write(
    output === "json"
      ? `${JSON.stringify(report, null, 2)}\n`
      : statusText(report, {
          all: all === true,
          paint: (text, colour) => coloured(text, colour, process.stdout),
        }),
  );
  process.exitCode = report.ok ? 0 : 1;
}

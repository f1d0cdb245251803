/** The flags of commands that talk to a cluster, and the connection that they name. */
import { type Command, InvalidArgumentError } from "commander";
import type { Cluster } from "../install/index.ts";
import { SYSTEM_NAMESPACE } from "../mesh/index.ts";

export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

export function withClusterOptions(command: Command): Command {
  return withConnectionOptions(
    command.option(
      "-n, --namespace <name>",
      `namespace of the operator (default: where it is, else ${SYSTEM_NAMESPACE})`,
    ),
  );
}

/** Which cluster, without where in it. */
export function withConnectionOptions(command: Command): Command {
  return command
    .option("--kubeconfig <file>", "instead of KUBECONFIG and ~/.kube/config")
    .option("--context <name>", "instead of the kubeconfig's current one");
}

/**
 * Runs a command's work on the cluster, and closes what it opened. Where no namespace was named, the installation is looked
 * for first.
 */
export async function withCluster(options: ClusterOptions, work: (cluster: Cluster) => Promise<void>): Promise<void> {
  const { findInstallation } = await import("../install/index.ts");
  await withConnection(options, async (cluster) => {
    const found = options.namespace === undefined ? await findInstallation(cluster) : undefined;
    await work({ ...cluster, namespace: options.namespace ?? found?.namespace ?? cluster.namespace });
  });
}

/** As `withCluster`, with the operator's usual namespace and nothing looked for. `server` is the API server's URL. */
export async function withConnection(
  options: Pick<ClusterOptions, "kubeconfig" | "context">,
  work: (cluster: Cluster, server: string) => Promise<void>,
): Promise<void> {
  const { connect, KubeClient } = await import("../kube/index.ts");
  const { systemClock } = await import("./system.ts");
  const { VERSION } = await import("./version.ts");
  const { kubeconfig, context } = options;
  const connection = await connect({ kubeconfig, context, env: process.env });
  const client = new KubeClient({ connection, clock: systemClock, agent: `tulle/${VERSION}` });
  try {
    const cluster = { client, clock: systemClock, sleep: Bun.sleep, namespace: SYSTEM_NAMESPACE };
    await work(cluster, connection.server);
  } finally {
    client[Symbol.dispose]();
  }
}

/** `5m`, `90s`, `1h` in milliseconds. */
export function durationOf(text: string): number {
  const [, count, unit = "s"] = /^(\d{1,6})(s|m|h)?$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError("It is a duration such as 90s, 5m or 1h.");
  return Number(count) * { s: 1_000, m: 60_000, h: 3_600_000 }[unit as "s" | "m" | "h"];
}

/** Puts Tulle into the cluster and takes it away, by the commands that a user types: `bun test/support/install.ts up|down`. */
import { Cluster, command, eventually, run } from "./cluster.ts";
import { TULLE } from "./machine.ts";
import { OPERATOR, SYSTEM } from "./names.ts";
import type { ExecResult } from "./netns.ts";

/** On a cluster of one's own it has to be there under this name. */
const IMAGE = process.env["TULLE_IMAGE"] ?? "tulle:local";

/** The flags of every installation here; `set` as of `--set`. */
export function valuesOf(set: readonly string[] = []): readonly string[] {
  const [repository = "", tag = ""] = IMAGE.split(/:(?=[^/:]+$)/);
  return [`image.repository=${repository}`, `image.tag=${tag}`, ...set].flatMap((value) => ["--set", value]);
}

/** Runs tulle against the cluster. Answers a failure too. */
export function tulle(cluster: Cluster, args: readonly string[]): Promise<ExecResult> {
  return command([TULLE, ...args, "--kubeconfig", cluster.kubeconfig], { timeout: 180_000 });
}

/** Installs, or brings what is installed to these values; returns once a new pod would be meshed by these alone. */
export async function install(cluster: Cluster, set: readonly string[] = []): Promise<void> {
  const installed = await tulle(cluster, ["install", "--wait", "--timeout", "2m", ...valuesOf(set)]);
  if (installed.status !== 0) throw new Error(`tulle install: ${installed.stderr}${installed.stdout}`);
  // Replicas on their way out still answer the connections that they have, by the values that they were started with.
  await eventually(async () => {
    const pods = ["get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "json"];
    const { items } = JSON.parse(await cluster.kubectl(["-n", SYSTEM, ...pods])) as {
      items: { metadata: { deletionTimestamp?: string } }[];
    };
    return items.every(({ metadata }) => metadata.deletionTimestamp === undefined) ? true : undefined;
  }, 60_000);
}

export async function uninstall(cluster: Cluster): Promise<void> {
  await run([TULLE, "uninstall", "--roll", "--yes", "--timeout", "2m", "--kubeconfig", cluster.kubeconfig], {
    timeout: 180_000,
  });
}

if (import.meta.main) {
  const cluster = await Cluster.find();
  if (process.argv[2] === "down") await uninstall(cluster);
  else {
    const before = await cluster.tryKubectl(["-n", SYSTEM, "get", OPERATOR]);
    await install(cluster);
    // Its image may be another one under the same name.
    if (before.status === 0) await cluster.kubectl(["-n", SYSTEM, "rollout", "restart", OPERATOR]);
  }
}

/** Puts Tulle into the cluster and takes it away again, as a user would: `bun test/support/install.ts [up|down]`. */
import { givenValues, type Manifest, renderChart } from "../../src/install/index.ts";
import { Cluster, eventually } from "./cluster.ts";
import { OPERATOR, SYSTEM } from "./names.ts";

/** On a cluster of one's own it has to be there under this name. */
const IMAGE = process.env["TULLE_IMAGE"] ?? "tulle:local";

/** The objects of an installation; `set` as of `--set`. */
export function installation(set: readonly string[] = []): readonly Manifest[] {
  const [repository = "", tag = ""] = IMAGE.split(/:(?=[^/:]+$)/);
  const image = ["namespace.create=true", `image.repository=${repository}`, `image.tag=${tag}`];
  return renderChart(givenValues({ set: [...image, ...set] }), SYSTEM);
}

/** Applies it and waits until every replica is ready and the API server trusts the webhook. */
export async function install(cluster: Cluster, set: readonly string[] = []): Promise<void> {
  await cluster.kubectl(["apply", "-f", "-"], { input: list(installation(set)) });
  await cluster.kubectl(["-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=110s"], { timeout: 120_000 });
  await eventually(async () => ((await trusted(cluster)) ? true : undefined));
}

/** Removes every object of it; what it made itself (the CA, the bundles) goes with its namespaces. */
export async function uninstall(cluster: Cluster): Promise<void> {
  // What judges new pods goes first: nothing may be in the way of pods once nobody answers.
  const objects = [...installation()].reverse();
  await cluster.kubectl(["delete", "--ignore-not-found", "--timeout=110s", "-f", "-"], {
    input: list(objects),
    timeout: 120_000,
  });
  const bundles = ["delete", "configmaps", "-A", "-l", "app.kubernetes.io/part-of=tulle"];
  await cluster.kubectl(bundles);
}

async function trusted(cluster: Cluster): Promise<boolean> {
  const found = await cluster.kubectl(["get", "mutatingwebhookconfiguration/tulle-injector", "-o", "json"]);
  const { webhooks } = JSON.parse(found) as { webhooks: { clientConfig: { caBundle?: string } }[] };
  return webhooks.every(({ clientConfig }) => (clientConfig.caBundle ?? "") !== "");
}

function list(items: readonly Manifest[]): string {
  return JSON.stringify({ apiVersion: "v1", kind: "List", items });
}

if (import.meta.main) {
  const cluster = await Cluster.find();
  await (process.argv[2] === "down" ? uninstall(cluster) : install(cluster));
}

/** Takes pods out of the mesh, with their traffic flowing: plaintext is let in first, then each controller makes its pods anew. */
import { INJECT_LABEL, type Millis, MODE_LABEL } from "../mesh/index.ts";
import { type Cluster, FIELD_MANAGER, list, type Progress, remove } from "./cluster.ts";
import { InstallError } from "./errors.ts";
import { meshedPods, type Owned, withControllers } from "./meshed.ts";
import { hasSidecar, NAMESPACES, nameOf, PODS } from "./objects.ts";

/** How long proxies may take to hear that plaintext is let in. */
const MODE_SETTLES: Millis = 5_000;
const LOOK_EVERY: Millis = 1_000;
/** The annotation by which `kubectl rollout restart` makes a template another one. */
const RESTARTED = "kubectl.kubernetes.io/restartedAt";

/** Lets plaintext in wherever pods are meshed, so that those still meshed hear those that no longer are. */
export async function letPlaintextIn(cluster: Cluster, progress: Progress): Promise<void> {
  const namespaces = new Set((await meshedPods(cluster)).map((pod) => pod.metadata.namespace ?? ""));
  if (namespaces.size === 0) return;
  progress.step("plaintext between pods");
  for (const name of namespaces) await label(cluster, name, { [MODE_LABEL]: "permissive" });
  await cluster.sleep(MODE_SETTLES);
  progress.done(`let in, in ${namespaces.size} namespaces`);
}

/** Takes the label that asks for sidecars from every namespace. The webhook must be gone. */
export function unlabelNamespaces(cluster: Cluster, progress: Progress): Promise<void> {
  return unlabel(cluster, progress, INJECT_LABEL, "out of the mesh");
}

/** Takes the mode from every namespace. No pod may be meshed any more: a strict mesh would refuse plaintext again. */
export function forgetModes(cluster: Cluster, progress: Progress): Promise<void> {
  return unlabel(cluster, progress, MODE_LABEL, "has no mode any more");
}

async function unlabel(cluster: Cluster, progress: Progress, name: string, result: string): Promise<void> {
  for (const { metadata } of await list(cluster, NAMESPACES)) {
    if (metadata.labels?.[name] === undefined) continue;
    progress.step(`Namespace ${metadata.name}`);
    await label(cluster, metadata.name, { [name]: null });
    progress.done(result);
  }
}

function label(cluster: Cluster, name: string, labels: Readonly<Record<string, string | null>>): Promise<unknown> {
  return cluster.client.patch(NAMESPACES, { name }, { kind: "merge", value: { metadata: { labels } } });
}

/**
 * Restarts every controller of a meshed pod, and waits until no pod is meshed. Throws InstallError `meshed-pods` with those
 * that nobody makes again, or that are still there at the end.
 */
export async function restartMeshed(cluster: Cluster, progress: Progress, timeout: Millis): Promise<void> {
  const owned = await withControllers(cluster, await meshedPods(cluster));
  if (owned.length === 0) return;
  const problems = new Map<string, string | undefined>();
  const staying = new Set<string>();
  for (const one of owned) {
    const title = titleOf(one);
    if (!problems.has(title)) {
      const problem = await restart(cluster, one, progress);
      problems.set(title, problem);
      if (problem !== undefined) progress.note(problem);
    }
    if (problems.get(title) !== undefined) staying.add(one.pod.metadata.uid ?? "");
  }
  const deadline = cluster.clock.now() + timeout;
  progress.step("meshed pods");
  for (;;) {
    const left = await meshedPods(cluster);
    if (left.length === 0) break;
    // What nobody makes again without a sidecar never goes by itself: no reason to wait once only such are left.
    const hopeless = left.every(({ metadata }) => staying.has(metadata.uid ?? ""));
    if (hopeless || cluster.clock.now() >= deadline) throw stillMeshed(await withControllers(cluster, left));
    progress.step("meshed pods", `${left.length} left`);
    await cluster.sleep(LOOK_EVERY);
  }
  progress.done("none left");
}

/** What is restarted as one: a Deployment, StatefulSet or DaemonSet; else the pod, since a ReplicaSet never replaces its own. */
function titleOf({ pod, controller }: Owned): string {
  if (controller === undefined || controller.resource.kind === "ReplicaSet") return nameOf({ ...pod, kind: "Pod" });
  return nameOf({ ...controller.workload, kind: controller.resource.kind });
}

/** Answers why nobody makes the pod anew without a sidecar. */
async function restart(cluster: Cluster, one: Owned, progress: Progress): Promise<string | undefined> {
  const title = titleOf(one);
  const { pod, controller, owner } = one;
  if (controller === undefined) return `${title} (${owner}) is made again by nobody: delete it yourself`;
  const { workload, resource: of } = controller;
  const { namespace, name } = workload.metadata;
  if (hasSidecar(workload.spec.template.spec))
    return `${nameOf({ ...workload, kind: of.kind })}: its own template holds the sidecar; apply its manifest without it (tulle uninject)`;
  if (of.kind === "ReplicaSet") {
    await remove(cluster, PODS, { namespace, name: pod.metadata.name });
    return undefined;
  }
  if (workload.spec.updateStrategy?.type === "OnDelete" || workload.spec.paused === true)
    return `${title} does not restart by itself (paused, or OnDelete): delete its pods one by one`;
  progress.step(title);
  const annotations = { [RESTARTED]: new Date(cluster.clock.now()).toISOString() };
  const value = { spec: { template: { metadata: { annotations } } } };
  await cluster.client.patch(of, { namespace, name }, { kind: "merge", value }, { fieldManager: FIELD_MANAGER });
  progress.done("restarted");
  return undefined;
}

/** The refusal to go on, with the first pods by name. */
export function stillMeshed(owned: readonly Owned[]): InstallError {
  const shown = owned
    .slice(0, 20)
    .map(({ pod, owner }) => `  ${pod.metadata.namespace}/${pod.metadata.name} (${owner})`);
  const more = owned.length > shown.length ? [`  and ${owned.length - shown.length} more`] : [];
  const many = owned.length === 1 ? "1 pod is" : `${owned.length} pods are`;
  return new InstallError("meshed-pods", [`${many} still meshed:`, ...shown, ...more].join("\n"), {
    hint: "Without the operator their certificates run out. `tulle uninstall --roll` restarts them without sidecar; what nobody makes again (bare pods, Jobs) you end yourself.",
  });
}

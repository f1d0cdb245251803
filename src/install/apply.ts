/** Brings the rendered objects into the cluster by server-side apply, which leaves alone what others manage (caBundle). */
import { isKubeError, type KubeObject } from "../kube/index.ts";
import { type Cluster, FIELD_MANAGER, find, type Progress, remove } from "./cluster.ts";
import { type Difference, differences } from "./diff.ts";
import { InstallError } from "./errors.ts";
import { isOurs, nameOf, resourceOf } from "./objects.ts";
import { everyObject, type Manifest } from "./render.ts";

export type Change =
  | { readonly kind: "created" | "unchanged" | "deleted"; readonly object: Manifest }
  | { readonly kind: "changed"; readonly object: Manifest; readonly differences: readonly Difference[] };

interface ApplyOptions {
  /** Nothing is kept: tells what would change. */
  readonly dryRun?: boolean;
}

/**
 * Applies each object in its order; then deletes what an earlier installation had and this one has not. Throws KubeError with
 * the object's name.
 */
export async function applyObjects(
  cluster: Cluster,
  objects: readonly Manifest[],
  progress: Progress,
  { dryRun = false }: ApplyOptions = {},
): Promise<readonly Change[]> {
  const changes: Change[] = [];
  for (const object of objects) {
    progress.step(nameOf(object));
    const change = await applyOne(cluster, object, dryRun);
    changes.push(change);
    progress.done(change.kind);
  }
  const kept = new Set(objects.map(keyOf));
  for (const object of everyObject(cluster.namespace)) {
    // A namespace that an earlier installation made holds the CA: it never goes by an upgrade.
    if (kept.has(keyOf(object)) || object.kind === "Namespace") continue;
    if (await withdraw(cluster, object, dryRun)) {
      progress.step(nameOf(object));
      progress.done("deleted");
      changes.push({ kind: "deleted", object });
    }
  }
  return changes;
}

function keyOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`;
}

async function applyOne(cluster: Cluster, object: Manifest, dryRun: boolean): Promise<Change> {
  const of = resourceOf(object);
  const { namespace, name } = object.metadata;
  const before = await find(cluster, of, { namespace, name });
  let after: KubeObject;
  try {
    after = await cluster.client.apply(of, object, {
      fieldManager: FIELD_MANAGER,
      // The chart's fields are ours to say, whoever changed them by hand.
      force: true,
      dryRun,
      fieldValidation: "Strict",
      ...(cluster.signal === undefined ? {} : { signal: cluster.signal }),
    });
  } catch (error) {
    // In a dry run the namespace of the first installation is not there yet.
    if (dryRun && before === undefined && isKubeError(error, "not-found")) return { kind: "created", object };
    if (isKubeError(error, "not-found") && object.kind === "PodMonitor")
      throw new InstallError("bad-values", "podMonitor.enabled is true, but the cluster knows no PodMonitor", {
        hint: "Install the Prometheus operator first, or set podMonitor.enabled=false.",
        cause: error,
      });
    throw error;
  }
  if (before === undefined) return { kind: "created", object };
  const found = differences(before, after);
  return found.length === 0 ? { kind: "unchanged", object } : { kind: "changed", object, differences: found };
}

/** Deletes an object of ours that is there. */
async function withdraw(cluster: Cluster, object: Manifest, dryRun: boolean): Promise<boolean> {
  const of = resourceOf(object);
  const { namespace, name } = object.metadata;
  if (!isOurs(await find(cluster, of, { namespace, name }))) return false;
  if (!dryRun) await remove(cluster, of, { namespace, name });
  return true;
}

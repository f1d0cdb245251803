/**
 * Takes everything away that Tulle made, in an order that can stop anywhere: what could refuse or change new pods goes first,
 * the operator next, what it wrote after it, so that nothing is made again.
 */
import { LEASES } from "../kube/index.ts";
import { type Millis, OPERATOR_NAMES, TRUST_BUNDLE_CONFIG_MAP } from "../mesh/index.ts";
import { type Cluster, find, list, type Progress, remove } from "./cluster.ts";
import { InstallError } from "./errors.ts";
import { findInstallation, mayTouch } from "./installation.ts";
import { meshedPods, withControllers } from "./meshed.ts";
import { CONFIG_MAPS, isOurs, NAMESPACES, nameOf, resourceOf, SECRETS } from "./objects.ts";
import { operatorPods } from "./readiness.ts";
import { everyObject, type Manifest } from "./render.ts";
import { forgetModes, letPlaintextIn, restartMeshed, stillMeshed, unlabelNamespaces } from "./roll.ts";

export interface UninstallOptions {
  /** Take the pods out of the mesh first; else meshed pods are a refusal. */
  readonly roll: boolean;
  /** Leave the CA's Secret and the trust bundle beside it: a later installation goes on with the same root. */
  readonly keepCa: boolean;
  /** For pods to end. */
  readonly timeout: Millis;
}

/** Kinds that judge new pods. Bindings before the policy that they bind. */
const JUDGES = ["MutatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"];
const LOOK_EVERY: Millis = 500;

/**
 * Safe to repeat: what is gone already is no error. Throws `other-namespace` and `meshed-pods` before anything is touched, the
 * latter after the roll too.
 */
export async function uninstall(cluster: Cluster, options: UninstallOptions, progress: Progress): Promise<void> {
  mayTouch(cluster, await findInstallation(cluster));
  const meshed = await meshedPods(cluster);
  if (meshed.length > 0 && !options.roll) throw stillMeshed(await withControllers(cluster, meshed));
  const objects = everyObject(cluster.namespace);
  if (options.roll) await letPlaintextIn(cluster, progress);
  for (const kind of JUDGES)
    await removeAll(
      cluster,
      objects.filter((one) => one.kind === kind),
      progress,
    );
  if (options.roll) {
    await unlabelNamespaces(cluster, progress);
    await restartMeshed(cluster, progress, options.timeout);
    await forgetModes(cluster, progress);
  }
  await removeAll(
    cluster,
    objects.filter((one) => one.kind === "Deployment"),
    progress,
  );
  await operatorGone(cluster, progress, options.timeout);
  await removeWritten(cluster, options, progress);
  const rest = objects.filter(
    (one) => !JUDGES.includes(one.kind) && one.kind !== "Deployment" && one.kind !== "Namespace",
  );
  await removeAll(cluster, rest, progress);
  await removeNamespace(cluster, options, progress);
}

/** Objects of ours: by name, and by the label that the chart gives. */
async function removeAll(cluster: Cluster, objects: readonly Manifest[], progress: Progress): Promise<void> {
  for (const object of objects) {
    const { namespace, name } = object.metadata;
    const of = resourceOf(object);
    if (!isOurs(await find(cluster, of, { namespace, name }))) continue;
    progress.step(nameOf(object));
    await remove(cluster, of, { namespace, name });
    progress.done("deleted");
  }
}

/** An operator that still runs would write again what is deleted next. */
async function operatorGone(cluster: Cluster, progress: Progress, timeout: Millis): Promise<void> {
  const deadline = cluster.clock.now() + timeout;
  for (let waited = false; ; waited = true) {
    const pods = await operatorPods(cluster);
    if (pods.length === 0) {
      if (waited) progress.done("ended");
      return;
    }
    progress.step("operator", `${pods.length} pods are ending`);
    if (cluster.clock.now() >= deadline)
      throw new InstallError("not-ready", `${pods.length} pods of the operator have not ended`, {
        hint: `See kubectl get pods -n ${cluster.namespace}; then run tulle uninstall again, it goes on where it stopped.`,
      });
    await cluster.sleep(LOOK_EVERY);
  }
}

/** What the operator wrote, and our own record. */
async function removeWritten(cluster: Cluster, { keepCa }: UninstallOptions, progress: Progress): Promise<void> {
  const { namespace } = cluster;
  const bundles = await list(cluster, CONFIG_MAPS, { fieldSelector: `metadata.name=${TRUST_BUNDLE_CONFIG_MAP}` });
  const going = bundles.filter(
    ({ metadata }) => metadata.name === TRUST_BUNDLE_CONFIG_MAP && !(keepCa && metadata.namespace === namespace),
  );
  if (going.length > 0) {
    progress.step(`ConfigMap ${TRUST_BUNDLE_CONFIG_MAP}`);
    for (const { metadata } of going)
      await remove(cluster, CONFIG_MAPS, { namespace: metadata.namespace, name: metadata.name });
    progress.done(`deleted in ${going.length} namespaces`);
  }
  const named = [
    { of: LEASES, name: OPERATOR_NAMES.lease },
    { of: CONFIG_MAPS, name: OPERATOR_NAMES.installRecord },
    ...(keepCa ? [] : [{ of: SECRETS, name: OPERATOR_NAMES.caSecret }]),
  ];
  for (const { of, name } of named) {
    if (!(await remove(cluster, of, { namespace, name }))) continue;
    progress.step(`${of.kind} ${namespace}/${name}`);
    progress.done("deleted");
  }
}

/** Only the namespace that the chart made, and never with the CA in it. */
async function removeNamespace(
  cluster: Cluster,
  { keepCa, timeout }: UninstallOptions,
  progress: Progress,
): Promise<void> {
  const { namespace } = cluster;
  const deadline = cluster.clock.now() + timeout;
  if (!isOurs(await find(cluster, NAMESPACES, { name: namespace }))) return;
  progress.step(`Namespace ${namespace}`);
  if (keepCa) return progress.done(`kept, with the CA in Secret ${OPERATOR_NAMES.caSecret}`);
  await remove(cluster, NAMESPACES, { name: namespace });
  while ((await find(cluster, NAMESPACES, { name: namespace })) !== undefined) {
    progress.step(`Namespace ${namespace}`, "its last objects are ending");
    if (cluster.clock.now() >= deadline)
      throw new InstallError("not-ready", `namespace ${namespace} is still being deleted`, {
        hint: `kubectl get namespace ${namespace} -o yaml says what holds it.`,
      });
    await cluster.sleep(LOOK_EVERY);
  }
  progress.done("deleted");
}

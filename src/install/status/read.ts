/** Reads from a cluster what a report is made of, with the rights of whoever asks. Never the CA Secret. */
import type { JsonObject, LabelledNamespace } from "../../inject/index.ts";
import { isKubeError, type KubeObject, LEASES, labelWrittenAt } from "../../kube/index.ts";
import { INJECT_LABEL, OPERATOR_NAMES, ROOT_CERTIFICATE_FILE, TRUST_BUNDLE_CONFIG_MAP } from "../../mesh/index.ts";
import type { MeshFacts } from "../../status/index.ts";
import { type Cluster, find, list } from "../cluster.ts";
import { InstallError, wrongUse } from "../errors.ts";
import { findInstallation } from "../installation.ts";
import { CONFIG_MAPS, DEPLOYMENTS, isFinished, MUTATING_WEBHOOKS, NAMESPACES, PODS, type Pod } from "../objects.ts";
import { operatorPods } from "../readiness.ts";
import { type Seen, seen, Unseen } from "../seen.ts";
import { judgeControlPlane } from "./control-plane.ts";

export interface StatusQuestion {
  /** One namespace alone; undefined for all. */
  readonly namespace: string | undefined;
  /** Where the operator is, when the user said it: else it is looked for, and else the cluster's namespace is believed. */
  readonly operatorNamespace: string | undefined;
}

/**
 * Throws InstallError `may-not-look` where pods or namespaces may not be listed, `no-namespace` for one that is not there;
 * KubeError for what else goes wrong.
 */
export async function readMesh(cluster: Cluster, question: StatusQuestion): Promise<MeshFacts> {
  const { namespace: only } = question;
  const found = question.operatorNamespace === undefined ? await seen(() => findInstallation(cluster)) : undefined;
  const own =
    question.operatorNamespace ??
    (found instanceof Unseen || found === undefined ? cluster.namespace : found.namespace);
  const at = { ...cluster, namespace: own };
  // Pods first: the labels by which they are judged are never older than they.
  const podsOf = only === undefined ? {} : { namespace: only };
  const where = only === undefined ? "in all namespaces" : `in namespace ${only}`;
  const pods = await allowed(`list pods ${where}`, only, () => list(cluster, PODS, podsOf));
  const deed = only === undefined ? "list namespaces" : `get namespace ${only}`;
  const namespaces = await allowed(deed, only, () => readNamespaces(cluster, only));
  const [operator, replicas, lease, injector, bundle] = await Promise.all([
    seen(() => find(at, DEPLOYMENTS, { namespace: own, name: OPERATOR_NAMES.operator })),
    seen(async () => (await operatorPods(at)).filter(stays)),
    seen(() => find(at, LEASES, { namespace: own, name: OPERATOR_NAMES.lease })),
    seen(() => find(at, MUTATING_WEBHOOKS, { name: OPERATOR_NAMES.injector })),
    readBundle(at, only),
  ]);
  const now = cluster.clock.now();
  return {
    controlPlane: judgeControlPlane({ now, namespace: own, operator, pods: replicas, lease, injector, bundle }),
    namespaces,
    pods: pods as unknown as readonly JsonObject[],
    remedies: "kubectl",
    only,
  };
}

async function readNamespaces(cluster: Cluster, only: string | undefined): Promise<readonly LabelledNamespace[]> {
  if (only === undefined) return (await list(cluster, NAMESPACES)).map(labelled);
  const found = await find(cluster, NAMESPACES, { name: only });
  if (found === undefined)
    throw wrongUse("no-namespace", `there is no namespace ${only}`, "See kubectl get namespaces.");
  return [labelled(found)];
}

function labelled(namespace: KubeObject): LabelledNamespace {
  const { name, labels = {} } = namespace.metadata;
  return { name, labels, labelWrittenAt: labelWrittenAt(namespace, INJECT_LABEL) };
}

/** Every namespace has the same bundle: who may not read the operator's may read it in the one they asked for. */
async function readBundle(cluster: Cluster, only: string | undefined): Promise<Seen<string | undefined>> {
  const read = (namespace: string) =>
    seen(() => find(cluster, CONFIG_MAPS, { namespace, name: TRUST_BUNDLE_CONFIG_MAP }));
  const own = await read(cluster.namespace);
  const map = own instanceof Unseen && only !== undefined ? await read(only) : own;
  return map instanceof Unseen ? map : map?.data?.[ROOT_CERTIFICATE_FILE];
}

function stays(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && !isFinished(pod);
}

/** Without these there is nothing to judge: says which permission is missing. */
async function allowed<T>(deed: string, only: string | undefined, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isKubeError(error, "forbidden")) throw error;
    throw new InstallError("may-not-look", `you may not ${deed}`, {
      cause: error,
      hint:
        only === undefined
          ? "Ask for a ClusterRole that allows it, or look at one namespace: tulle status -n NAMESPACE."
          : `Ask for a Role in namespace ${only} that allows it.`,
    });
  }
}

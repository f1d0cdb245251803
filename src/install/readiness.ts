/** Waits until an installation does what it is there for, one step after the other, each with what it waits for. */
import { isKubeError } from "../kube/index.ts";
import { type Millis, OPERATOR_NAMES, TRUST_BUNDLE_CONFIG_MAP } from "../mesh/index.ts";
import { type Cluster, find, list, type Progress } from "./cluster.ts";
import { InstallError } from "./errors.ts";
import { probeInjection, probeNamespace } from "./injection-probe.ts";
import { CONFIG_MAPS, DEPLOYMENTS, MUTATING_WEBHOOKS, PODS, type Pod, type Workload } from "./objects.ts";

/** What a step waits for; undefined when it is done, and `untold` when nobody can say whether it is. */
type Look = (cluster: Cluster) => Promise<string | undefined | { readonly untold: string }>;

const STEPS: readonly { readonly what: string; readonly done: string; readonly look: Look }[] = [
  { what: "operator", done: "ready", look: operatorMissing },
  { what: "certificate authority", done: "published", look: bundleMissing },
  { what: "webhook certificate", done: "trusted", look: caBundleMissing },
  { what: "injection", done: "works", look: injectionMissing },
];

const LOOK_EVERY: Millis = 500;

/** Throws InstallError `not-ready` with the step and what it waited for. */
export async function waitUntilReady(cluster: Cluster, progress: Progress, timeout: Millis): Promise<void> {
  const deadline = cluster.clock.now() + timeout;
  for (const { what, done, look } of STEPS) {
    progress.step(what);
    for (;;) {
      const missing = await lookOnce(cluster, look);
      if (typeof missing !== "string") {
        progress.done(missing?.untold ?? done);
        break;
      }
      if (cluster.clock.now() >= deadline)
        throw new InstallError("not-ready", `${what} is not ready after ${Math.round(timeout / 1000)} s: ${missing}`, {
          hint: `See kubectl get pods -n ${cluster.namespace}, kubectl logs -n ${cluster.namespace} deploy/tulle-operator and tulle check. What was applied stays.`,
        });
      progress.step(what, missing);
      await cluster.sleep(LOOK_EVERY);
    }
  }
}

/** An API server that is busy or restarts is waited for. */
async function lookOnce(cluster: Cluster, look: Look): ReturnType<Look> {
  try {
    return await look(cluster);
  } catch (error) {
    if (!isKubeError(error, "unreachable", "timeout", "unavailable", "too-many-requests", "server-error")) throw error;
    return error.message;
  }
}

async function operatorMissing(cluster: Cluster): Promise<string | undefined> {
  const { namespace } = cluster;
  const operator = await find(cluster, DEPLOYMENTS, { namespace, name: OPERATOR_NAMES.operator });
  if (operator === undefined) return "there is no Deployment";
  const missing = rolloutMissing(operator);
  if (missing === undefined) return undefined;
  const failed = operator.status?.conditions?.find((one) => one.type === "ReplicaFailure" && one.status === "True");
  const pods = await operatorPods(cluster);
  const why = failed?.message ?? pods.map(podTrouble).find((one) => one !== undefined);
  return why === undefined ? missing : `${missing}; ${why}`;
}

export function operatorPods(cluster: Cluster): Promise<readonly Pod[]> {
  return list(cluster, PODS, {
    namespace: cluster.namespace,
    labelSelector: "app.kubernetes.io/name=tulle,app.kubernetes.io/component=operator",
  });
}

/** Undefined when every replica is of the newest template and available. */
export function rolloutMissing({ metadata, spec, status = {} }: Workload): string | undefined {
  const wanted = spec.replicas ?? 1;
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) return "its change is not seen yet";
  if ((status.updatedReplicas ?? 0) < wanted)
    return `${status.updatedReplicas ?? 0} of ${wanted} replicas are up to date`;
  if ((status.availableReplicas ?? 0) < wanted)
    return `${status.availableReplicas ?? 0} of ${wanted} replicas are ready`;
  if ((status.replicas ?? 0) > wanted) return `${(status.replicas ?? 0) - wanted} old replicas are ending`;
  return undefined;
}

/** Why a pod does not come up, when its status says so. */
export function podTrouble({ metadata, status = {} }: Pod): string | undefined {
  const unscheduled = status.conditions?.find((one) => one.type === "PodScheduled" && one.status === "False");
  if (unscheduled?.message !== undefined) return `pod ${metadata.name} has no node: ${unscheduled.message}`;
  for (const one of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]) {
    const { reason, message } = one.state?.waiting ?? {};
    if (reason === undefined || reason === "ContainerCreating" || reason === "PodInitializing") continue;
    return `pod ${metadata.name}, ${one.name}: ${reason}${message === undefined ? "" : ` (${message})`}`;
  }
  return undefined;
}

async function bundleMissing(cluster: Cluster): Promise<string | undefined> {
  const { namespace } = cluster;
  const bundle = await find(cluster, CONFIG_MAPS, { namespace, name: TRUST_BUNDLE_CONFIG_MAP });
  return bundle === undefined
    ? `the operator has not made ConfigMap ${namespace}/${TRUST_BUNDLE_CONFIG_MAP}`
    : undefined;
}

async function caBundleMissing(cluster: Cluster): Promise<string | undefined> {
  const { webhooks = [] } = (await find(cluster, MUTATING_WEBHOOKS, { name: OPERATOR_NAMES.injector })) ?? {};
  const without = webhooks.filter((one) => one.clientConfig.caBundle === undefined);
  if (webhooks.length === 0) return `there is no ${OPERATOR_NAMES.injector}`;
  return without.length === 0 ? undefined : `the operator has not written the caBundle of ${without[0]?.name}`;
}

async function injectionMissing(cluster: Cluster): ReturnType<Look> {
  const result = await probeInjection(cluster, await probeNamespace(cluster));
  if (result.outcome === "unknown") return { untold: `unknown: a pod made to try it was refused: ${result.why}` };
  return result.outcome === "not-injected" ? result.why : undefined;
}

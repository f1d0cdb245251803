/** The pods that hold a sidecar, and who would make them again. */
import type { KubeObject, OwnerReference, Resource } from "../kube/index.ts";
import { type Cluster, find, list } from "./cluster.ts";
import {
  DAEMON_SETS,
  DEPLOYMENTS,
  hasSidecar,
  isFinished,
  PODS,
  type Pod,
  REPLICA_SETS,
  STATEFUL_SETS,
  type Workload,
} from "./objects.ts";

export async function meshedPods(cluster: Cluster): Promise<readonly Pod[]> {
  return (await list(cluster, PODS)).filter((pod) => hasSidecar(pod.spec) && !isFinished(pod));
}

/** What makes a pod again when it is restarted; undefined for bare pods, Jobs, and controllers that are not Kubernetes' own. */
export interface Controller {
  readonly resource: Resource<Workload>;
  readonly workload: Workload;
}

export interface Owned {
  readonly pod: Pod;
  readonly controller: Controller | undefined;
  /** `Job backup`, for what has no controller that can be restarted. */
  readonly owner: string;
}

const RESTARTABLE: readonly Resource<Workload>[] = [DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, REPLICA_SETS];

/** Each pod with its outermost controller; a controller is read once. */
export async function withControllers(cluster: Cluster, pods: readonly Pod[]): Promise<readonly Owned[]> {
  const known = new Map<string, Controller | undefined>();
  const read = async (namespace: string | undefined, owner: OwnerReference): Promise<Controller | undefined> => {
    if (!known.has(owner.uid)) known.set(owner.uid, await readController(cluster, namespace, owner));
    return known.get(owner.uid);
  };
  const owned: Owned[] = [];
  for (const pod of pods) {
    const { namespace } = pod.metadata;
    let owner = controllerOf(pod);
    let controller = owner === undefined ? undefined : await read(namespace, owner);
    const above = controller === undefined ? undefined : controllerOf(controller.workload);
    if (above !== undefined) {
      owner = above;
      controller = await read(namespace, above);
    }
    owned.push({ pod, controller, owner: owner === undefined ? "no controller" : `${owner.kind} ${owner.name}` });
  }
  return owned;
}

function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find((one) => one.controller === true);
}

async function readController(
  cluster: Cluster,
  namespace: string | undefined,
  { apiVersion, kind, name }: OwnerReference,
): Promise<Controller | undefined> {
  const of = RESTARTABLE.find((one) => one.kind === kind && one.apiVersion === apiVersion);
  const workload = of === undefined ? undefined : await find(cluster, of, { namespace, name });
  return of === undefined || workload === undefined ? undefined : { resource: of, workload };
}

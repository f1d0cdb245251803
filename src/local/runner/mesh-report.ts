/** What `tulle status` says of a play: its pods as v1 Pods, judged as on a cluster; the operator lives as long as the play. */
import type { JsonObject } from "../../inject/index.ts";
import { type Mode, OPERATOR_SERVICE_ACCOUNT, SYSTEM_NAMESPACE } from "../../mesh/index.ts";
import { type ControlPlane, type MeshReport, meshReport, type Problem, readTrust } from "../../status/index.ts";
import type { Cluster } from "./cluster.ts";
import type { PodWorker } from "./pod.ts";

export interface PlayMesh {
  readonly version: string;
  /** For namespaces that do not say. */
  readonly mode: Mode;
  /** The trust bundle in PEM; undefined when nothing is meshed. */
  readonly trustBundle: (() => string) | undefined;
}

/** `only`: one namespace alone. */
export function playReport(cluster: Cluster, mesh: PlayMesh, only: string | undefined): MeshReport {
  const namespaces = [...cluster.namespaces]
    .filter(([name]) => only === undefined || name === only)
    .map(([name, labels]) => ({ name, labels, labelWrittenAt: cluster.injectLabelWrittenAt(name) }));
  return meshReport({
    controlPlane: controlPlane(mesh),
    namespaces,
    pods: cluster.pods.map(v1Pod),
    remedies: "play",
    only,
  });
}

function controlPlane({ version, mode, trustBundle }: PlayMesh): ControlPlane {
  const replica = { pod: OPERATOR_SERVICE_ACCOUNT, ready: true, version, leader: true };
  return {
    ready: trustBundle !== undefined,
    namespace: SYSTEM_NAMESPACE,
    version,
    mode,
    replicas: trustBundle === undefined ? [] : [replica],
    trust: trustBundle === undefined ? null : readTrust(trustBundle()),
    injector: null,
    problems: trustBundle === undefined ? [NO_MESH] : [],
    warnings: [],
    unseen: [],
  };
}

const NO_MESH: Problem = {
  text: "this play has no mesh: it was started with --no-inject",
  fix: "End it with `tulle stop`, and start it again without --no-inject.",
};

function v1Pod({ plan, createdAt, status }: PodWorker): JsonObject {
  const { namespace, name, labels, annotations, owner, spec } = plan;
  return {
    metadata: {
      namespace,
      name,
      labels,
      annotations,
      creationTimestamp: new Date(createdAt).toISOString(),
      ...(status.terminating ? { deletionTimestamp: new Date(createdAt).toISOString() } : {}),
      ...(owner === undefined ? {} : { ownerReferences: [{ kind: "Deployment", name: owner.name, controller: true }] }),
    },
    spec,
    status: { phase: status.phase },
  };
}

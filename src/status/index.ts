/**
 * status: one report of the mesh for people and programs: control plane, namespaces, and every pod with where it stands and
 * why. Pure: a cluster's facts come from install/, a play's from local/; the judgement of a pod is inject/'s.
 */
export { STATUS_FIELDS } from "./fields.ts";
export {
  type CaBundleState,
  type ControlPlane,
  type Injector,
  type MeshFacts,
  type MeshReport,
  meshReport,
  type NamespaceStatus,
  type PodStatus,
  type Problem,
  type Replica,
  type StatusReport,
  type Target,
  type Unseen,
} from "./report.ts";
export { type Root, readTrust, type Trust } from "./trust.ts";

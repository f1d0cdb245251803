/**
 * inject: Pod → meshed Pod, as a JSON patch and as spliced YAML text. It never re-prints what it was given, never calls
 * anybody, and does not decide which namespaces are meshed.
 */
export {
  type Admission,
  admitPod,
  type Decision,
  decide,
  INJECT_REASONS,
  type InjectReason,
  type NamespaceFacts,
} from "./admit.ts";
export { ANNOTATIONS, isImage, MARKS } from "./annotations.ts";
export { INJECT_CODES, type InjectCode, InjectError } from "./errors.ts";
export { type InjectedManifest, type InjectResult, injectManifest } from "./inject-manifest.ts";
export { hasSidecar, type Injection, injectPod } from "./inject-pod.ts";
export type { JsonObject } from "./json.ts";
export { applyPatch, type PatchOperation } from "./patch.ts";
export type { InjectConfig } from "./sidecar.ts";
export {
  isMeshed,
  type Standing,
  type StandingFacts,
  shouldBeMeshed,
  standingFacts,
  standingOf,
} from "./standing.ts";
export { type UninjectedManifest, type UninjectResult, uninjectManifest } from "./uninject.ts";
export {
  explainUnmeshed,
  type LabelledNamespace,
  type PodWorkload,
  type Remedies,
  UNMESHED_CAUSES,
  type Unmeshed,
  type UnmeshedCause,
  workloadOf,
} from "./unmeshed.ts";

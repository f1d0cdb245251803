/** Why a pod that should be meshed is not, in words, and what to do about it: the same in Events and in `tulle status`. */
import type { Millis } from "../mesh/index.ts";
import type { InjectReason, NamespaceFacts } from "./admit.ts";
import { INJECT_CODES, InjectError } from "./errors.ts";
import { examine, hasSidecar } from "./inject-pod.ts";
import { type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { isMeshed } from "./standing.ts";

/** The causes that can be told apart. */
export const UNMESHED_CAUSES = {
  refused: "it cannot be meshed as it is; the words say what is in the way",
  "before-label": "it was made before its namespace asked for the mesh",
  "injector-away": "its namespace asked for the mesh already, and the injector did not answer",
  unknown: "it was made before the label, or while the injector did not answer",
} as const;

export type UnmeshedCause = keyof typeof UNMESHED_CAUSES;

export interface Unmeshed {
  readonly cause: UnmeshedCause;
  /** About the pod, in one sentence without subject and final stop. */
  readonly why: string;
  /** What to do: a command where there is one. */
  readonly fix: string;
}

/** A namespace, and when its label that asks for the mesh was written last; undefined where nobody knows. */
export interface LabelledNamespace extends NamespaceFacts {
  readonly labelWrittenAt: Millis | undefined;
}

/** Whose commands make a pod again: a cluster's or a play's. */
export type Remedies = "kubectl" | "play";

/** What makes a pod again when it is gone. */
export interface PodWorkload {
  /** `Deployment` for what one of its ReplicaSets made. */
  readonly kind: string;
  readonly name: string;
}

/** `pod` is the v1 Pod, `reason` says who asks for its being meshed (`standingOf`). */
export function explainUnmeshed(
  pod: JsonObject,
  reason: InjectReason,
  namespace: LabelledNamespace,
  remedies: Remedies,
): Unmeshed {
  const refusal = refusalOf(pod);
  if (refusal !== undefined) {
    return { cause: "refused", why: `cannot be meshed: ${refusal.message}`, fix: INJECT_CODES[refusal.code] };
  }
  return { ...causeOf(pod, reason, namespace), fix: fixOf(pod, remedies) };
}

/** Undefined for a bare pod. */
export function workloadOf(pod: JsonObject): PodWorkload | undefined {
  const metadata = objectAt(pod, "metadata");
  const owner = objectsAt(metadata, "ownerReferences").find((one) => one["controller"] === true);
  const kind = textAt(owner, "kind");
  const name = textAt(owner, "name");
  if (kind === undefined || name === undefined) return undefined;
  // A Deployment names its ReplicaSets after itself and this hash, which its pods carry.
  const hash = textAt(metadata["labels"], "pod-template-hash");
  if (kind === "ReplicaSet" && hash !== undefined && name.endsWith(`-${hash}`)) {
    return { kind: "Deployment", name: name.slice(0, -hash.length - 1) };
  }
  return { kind, name };
}

/** Why a pod like this one would not be injected either. */
function refusalOf(pod: JsonObject): InjectError | undefined {
  const spec = objectAt(pod, "spec");
  if (hasSidecar(spec) && !isMeshed(spec)) {
    return new InjectError("name-taken", "it brings containers of the sidecar's names that are not the injector's");
  }
  try {
    examine(pod);
    return undefined;
  } catch (error) {
    if (error instanceof InjectError) return error;
    throw error;
  }
}

function causeOf(pod: JsonObject, reason: InjectReason, namespace: LabelledNamespace): Omit<Unmeshed, "fix"> {
  const made = Date.parse(textAt(pod["metadata"], "creationTimestamp") ?? "");
  const { name, labelWrittenAt } = namespace;
  // Both times are in whole seconds: in the same second nobody knows which came first.
  if (reason === "namespace-enabled" && labelWrittenAt !== undefined && made < labelWrittenAt) {
    return { cause: "before-label", why: `made before namespace ${name} was labelled` };
  }
  if (reason === "namespace-enabled" && labelWrittenAt !== undefined && made > labelWrittenAt) {
    return { cause: "injector-away", why: "made while the injector did not answer" };
  }
  return { cause: "unknown", why: "made before its label, or while the injector did not answer" };
}

/** Kinds whose pods are all made again by `kubectl rollout restart`. */
const RESTARTABLE: ReadonlySet<string> = new Set(["Deployment", "StatefulSet", "DaemonSet"]);

function fixOf(pod: JsonObject, remedies: Remedies): string {
  const namespace = textAt(pod["metadata"], "namespace") ?? "";
  const name = textAt(pod["metadata"], "name") ?? "";
  const workload = workloadOf(pod);
  if (workload === undefined)
    return remedies === "play" ? "delete it and apply it again" : "delete it and make it again";
  if (remedies === "kubectl" && RESTARTABLE.has(workload.kind)) {
    return `kubectl rollout restart -n ${namespace} ${workload.kind.toLowerCase()}/${workload.name}`;
  }
  const tool = remedies === "play" ? "tulle" : "kubectl";
  return `${tool} delete pod -n ${namespace} ${name} (${workload.kind} ${workload.name} makes it again)`;
}

/**
 * Where a pod that is there stands: in the mesh, outside by choice, or outside though it should be in. The one judgement of the
 * operator's reconciler, of `tulle check` and of `tulle status`, by the rule by which the webhook decides about new pods.
 */
import { INIT_CONTAINER, PROXY_CONTAINER } from "../mesh/index.ts";
import { decide, type InjectReason, type NamespaceFacts } from "./admit.ts";
import { type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { osOf } from "./refuse.ts";

/** What of a pod tells where it stands, beside its namespace. */
export interface StandingFacts {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Its spec holds the sidecar (never decided by label). */
  readonly meshed: boolean;
  readonly hostNetwork: boolean;
  /** Said by the pod or by the node it selects; undefined where neither does. */
  readonly os: string | undefined;
  /** It has a deletionTimestamp. */
  readonly terminating: boolean;
  /** It ended for good (Succeeded or Failed). */
  readonly finished: boolean;
}

export type Standing =
  /** It is on its way out, or will not run again: nobody minds where it stands. */
  | { readonly state: "ended" }
  | { readonly state: "meshed" }
  /** By choice, the reason says whose. */
  | { readonly state: "outside"; readonly reason: InjectReason }
  /** It should be meshed and is not; the reason says who asks for it. */
  | { readonly state: "unmeshed"; readonly reason: InjectReason };

/** `own` is the operator's namespace. */
export function standingOf(pod: StandingFacts, namespace: NamespaceFacts, own?: string): Standing {
  if (pod.terminating || pod.finished) return { state: "ended" };
  if (pod.meshed) return { state: "meshed" };
  const { mesh, reason } = decisionOf(pod, namespace, own);
  return { state: mesh ? "unmeshed" : "outside", reason };
}

/** Whether the pod should be meshed, be it or not. */
export function shouldBeMeshed(pod: StandingFacts, namespace: NamespaceFacts, own?: string): boolean {
  return !pod.terminating && !pod.finished && decisionOf(pod, namespace, own).mesh;
}

function decisionOf({ labels, annotations, hostNetwork, os }: StandingFacts, namespace: NamespaceFacts, own?: string) {
  return decide({ metadata: { labels, annotations }, spec: { hostNetwork, os: { name: os } } }, namespace, own);
}

/** The facts of a v1 Pod. */
export function standingFacts(pod: JsonObject): StandingFacts {
  const metadata = objectAt(pod, "metadata");
  const spec = objectAt(pod, "spec");
  const phase = textAt(pod["status"], "phase");
  return {
    labels: objectAt(metadata, "labels") as Readonly<Record<string, string>>,
    annotations: objectAt(metadata, "annotations") as Readonly<Record<string, string>>,
    meshed: isMeshed(spec),
    hostNetwork: spec["hostNetwork"] === true,
    os: osOf(spec),
    terminating: metadata["deletionTimestamp"] !== undefined,
    finished: phase === "Succeeded" || phase === "Failed",
  };
}

/** True when the init container and a native sidecar are there: then the mesh speaks mutual TLS to the pod. */
export function isMeshed(spec: JsonObject): boolean {
  const init = objectsAt(spec, "initContainers");
  return (
    init.some((one) => one["name"] === INIT_CONTAINER) &&
    init.some((one) => one["name"] === PROXY_CONTAINER && one["restartPolicy"] === "Always")
  );
}

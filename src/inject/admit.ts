/**
 * What the admission webhook answers, without the webhook: a pod and what is known of its namespace in, a patch or a refusal
 * out. No call leaves it, so a dry run is the same as a real one.
 */
import { INJECT_LABEL, SYSTEM_NAMESPACE } from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import { injectPod } from "./inject-pod.ts";
import { type JsonObject, objectAt } from "./json.ts";
import type { PatchOperation } from "./patch.ts";
import { isWindows } from "./refuse.ts";
import type { InjectConfig } from "./sidecar.ts";

/** Why a new pod gets the sidecar or does not: one word each. */
export const INJECT_REASONS = {
  "namespace-enabled": "the namespace's label says enabled",
  "pod-enabled": "the pod's label says enabled, and the namespace's says nothing",
  "own-namespace": "the mesh's own pods cannot depend on it",
  "system-namespace": "the cluster's own pods must start without the mesh",
  "mirror-pod": "the kubelet runs it from a file: the API server's copy changes nothing",
  "host-network": "it uses the node's network: its rules would capture the node's traffic",
  "not-linux": "it is a Windows pod",
  "opted-out": "the pod's label says disabled",
  "namespace-disabled": "the namespace's label says disabled",
  "not-enabled": "no label asks for the mesh",
} as const;

export type InjectReason = keyof typeof INJECT_REASONS;

/** What the caller knows of the pod's namespace. */
export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Decision {
  readonly mesh: boolean;
  readonly reason: InjectReason;
}

/** The cluster's own namespaces. */
const SYSTEM_NAMESPACES = new Set(["kube-system", "kube-public", "kube-node-lease"]);
const MIRROR_ANNOTATION = "kubernetes.io/config.mirror";

/**
 * Should this new pod be meshed? The namespace's label decides, the pod's where there is none, and a pod may always opt out.
 * `ownNamespace`: where the operator runs.
 */
export function decide(pod: JsonObject, namespace: NamespaceFacts, ownNamespace: string = SYSTEM_NAMESPACE): Decision {
  const no = (reason: InjectReason): Decision => ({ mesh: false, reason });
  const metadata = objectAt(pod, "metadata");
  const spec = objectAt(pod, "spec");
  if (namespace.name === ownNamespace) return no("own-namespace");
  if (SYSTEM_NAMESPACES.has(namespace.name)) return no("system-namespace");
  if (Object.hasOwn(objectAt(metadata, "annotations"), MIRROR_ANNOTATION)) return no("mirror-pod");
  const asked = objectAt(metadata, "labels")[INJECT_LABEL];
  if (asked === "disabled") return no("opted-out");
  const general = namespace.labels[INJECT_LABEL];
  if (general === "disabled") return no("namespace-disabled");
  if (general !== "enabled" && asked === undefined) return no("not-enabled");
  if (spec["hostNetwork"] === true) return no("host-network");
  if (isWindows(spec)) return no("not-linux");
  return { mesh: true, reason: general === "enabled" ? "namespace-enabled" : "pod-enabled" };
}

export type Admission =
  | {
      readonly outcome: "patched";
      readonly reason: InjectReason;
      readonly patch: readonly PatchOperation[];
      /** For `AdmissionResponse.warnings`. */
      readonly warnings: readonly string[];
    }
  /** Nothing to do: not to be meshed, or meshed already. */
  | { readonly outcome: "unchanged"; readonly reason: InjectReason }
  /** It should be meshed and cannot be. The message says why and what to do. */
  | { readonly outcome: "refused"; readonly reason: InjectReason; readonly code: string; readonly message: string };

/** The answer for one pod as the API server sends it, at its creation or at a reinvocation. Never throws for a pod. */
export function admitPod(
  pod: JsonObject,
  namespace: NamespaceFacts,
  config: InjectConfig,
  ownNamespace?: string,
): Admission {
  const { mesh, reason } = decide(pod, namespace, ownNamespace);
  if (!mesh) return { outcome: "unchanged", reason };
  try {
    const injection = injectPod(pod, config);
    if (injection.outcome === "already" || injection.outcome === "disabled") return { outcome: "unchanged", reason };
    return { outcome: "patched", reason, patch: injection.patch, warnings: injection.warnings };
  } catch (error) {
    if (!(error instanceof InjectError)) throw error;
    return { outcome: "refused", reason, code: error.code, message: `${error.message}. ${error.hint ?? ""}`.trimEnd() };
  }
}

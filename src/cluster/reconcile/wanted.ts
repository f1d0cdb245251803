/** Whether a pod belongs into the mesh, by its namespace's label and its own. The same rule as the webhook's conditions. */
import { INJECT_LABEL } from "../../mesh/index.ts";
import type { PodFacts } from "../sources/convert.ts";
import type { NamespaceLabels } from "../sources/sources.ts";

const NEVER: ReadonlySet<string> = new Set(["kube-system", "kube-node-lease", "kube-public"]);

/** `own` is the operator's namespace. */
export function shouldBeMeshed(
  pod: Pick<PodFacts, "namespace" | "labels" | "hostNetwork" | "mirror">,
  namespace: NamespaceLabels,
  own: string,
): boolean {
  if (pod.namespace === own || NEVER.has(pod.namespace) || pod.hostNetwork || pod.mirror) return false;
  const said = pod.labels[INJECT_LABEL];
  if (said === "disabled" || namespace[INJECT_LABEL] === "disabled") return false;
  return namespace[INJECT_LABEL] === "enabled" || said === "enabled";
}

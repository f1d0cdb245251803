/** Whether a pod that is there already belongs into the mesh: the rule by which the webhook decides about new ones. */
import { decide } from "../../inject/index.ts";
import type { PodFacts } from "../sources/convert.ts";
import type { NamespaceLabels } from "../sources/sources.ts";

/** `own` is the operator's namespace. */
export function shouldBeMeshed(
  pod: Pick<PodFacts, "namespace" | "labels" | "annotations" | "hostNetwork" | "os">,
  labels: NamespaceLabels,
  own: string,
): boolean {
  const { namespace: name, hostNetwork, os } = pod;
  const object = {
    metadata: { labels: pod.labels, annotations: pod.annotations },
    spec: { hostNetwork, os: { name: os } },
  };
  return decide(object, { name, labels }, own).mesh;
}

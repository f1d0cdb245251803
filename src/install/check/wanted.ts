/** Which pods are to be meshed, and in which namespaces plaintext is refused: as the chart's selectors say it. */
import type { KubeObject } from "../../kube/index.ts";
import { EXEMPT_NAMESPACES, INJECT_LABEL, MODE_LABEL, type Mode } from "../../mesh/index.ts";
import { hasSidecar, isFinished, type Pod } from "../objects.ts";
import { type Snapshot, see } from "./snapshot.ts";

export type Labels = Readonly<Record<string, string>>;

/** Labels of every namespace that is not exempt. */
export function namespaceLabels(snapshot: Snapshot): ReadonlyMap<string, Labels> {
  const exempt: readonly string[] = [...EXEMPT_NAMESPACES, snapshot.namespace];
  return new Map(
    see(snapshot.namespaces)
      .filter(({ metadata }) => !exempt.includes(metadata.name))
      .map(({ metadata }: KubeObject) => [metadata.name, metadata.labels ?? {}]),
  );
}

/** Pods that run and are to be meshed by their labels. */
export function wantedPods(snapshot: Snapshot): readonly Pod[] {
  const namespaces = namespaceLabels(snapshot);
  return livePods(snapshot, namespaces).filter((pod) => {
    const ofNamespace = namespaces.get(pod.metadata.namespace ?? "")?.[INJECT_LABEL];
    const ofPod = pod.metadata.labels?.[INJECT_LABEL];
    return ofNamespace !== "disabled" && ofPod !== "disabled" && (ofNamespace === "enabled" || ofPod === "enabled");
  });
}

/** Pods that run and are meshed: by `tulle inject` without any label. */
export function meshedPods(snapshot: Snapshot): readonly Pod[] {
  return livePods(snapshot, namespaceLabels(snapshot)).filter((pod) => hasSidecar(pod.spec));
}

function livePods(snapshot: Snapshot, namespaces: ReadonlyMap<string, Labels>): readonly Pod[] {
  return see(snapshot.pods).filter(
    (pod) =>
      namespaces.has(pod.metadata.namespace ?? "") &&
      !isFinished(pod) &&
      pod.metadata.deletionTimestamp === undefined &&
      pod.spec.hostNetwork !== true &&
      pod.metadata.annotations?.["kubernetes.io/config.mirror"] === undefined,
  );
}

/** What the operator was told of namespaces that say nothing. */
export function meshMode(snapshot: Snapshot): Mode {
  const containers = see(snapshot.operator)?.spec.template.spec.containers ?? [];
  return containers.some((one) => one.args?.includes("--mode=strict")) ? "strict" : "permissive";
}

export function isStrict(snapshot: Snapshot, labels: Labels): boolean {
  const said = labels[MODE_LABEL];
  if (said === "strict" || said === "permissive") return said === "strict";
  return meshMode(snapshot) === "strict" && labels[INJECT_LABEL] === "enabled";
}

/** Which pods are to be meshed and which are, and in which namespaces plaintext is refused. */
import { type JsonObject, type StandingFacts, shouldBeMeshed, standingFacts, standingOf } from "../../inject/index.ts";
import type { KubeObject } from "../../kube/index.ts";
import { EXEMPT_NAMESPACES, INJECT_LABEL, MODE_LABEL, type Mode } from "../../mesh/index.ts";
import { modeOfOperator, type Pod } from "../objects.ts";
import { see } from "../seen.ts";
import type { Snapshot } from "./snapshot.ts";

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

/** Pods that run and are to be meshed, be they or not. */
export function wantedPods(snapshot: Snapshot): readonly Pod[] {
  return podsThat(snapshot, shouldBeMeshed);
}

/** Pods that run and are to be meshed, and are not. */
export function unmeshedPods(snapshot: Snapshot): readonly Pod[] {
  return podsThat(snapshot, (...pod) => standingOf(...pod).state === "unmeshed");
}

/** Pods that run and are meshed: by `tulle inject` without any label. */
export function meshedPods(snapshot: Snapshot): readonly Pod[] {
  return podsThat(snapshot, (...pod) => standingOf(...pod).state === "meshed");
}

type Judge = (
  pod: StandingFacts,
  namespace: { readonly name: string; readonly labels: Labels },
  own: string,
) => boolean;

function podsThat(snapshot: Snapshot, judge: Judge): readonly Pod[] {
  const namespaces = namespaceLabels(snapshot);
  return see(snapshot.pods).filter((pod) => {
    const name = pod.metadata.namespace ?? "";
    const labels = namespaces.get(name);
    const facts = standingFacts(pod as unknown as JsonObject);
    return labels !== undefined && judge(facts, { name, labels }, snapshot.namespace);
  });
}

/** What the operator was told of namespaces that say nothing. */
export function meshMode(snapshot: Snapshot): Mode {
  const operator = see(snapshot.operator);
  return operator === undefined ? "permissive" : modeOfOperator(operator);
}

export function isStrict(snapshot: Snapshot, labels: Labels): boolean {
  const said = labels[MODE_LABEL];
  if (said === "strict" || said === "permissive") return said === "strict";
  return meshMode(snapshot) === "strict" && labels[INJECT_LABEL] === "enabled";
}

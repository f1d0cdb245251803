/** The report of `tulle status`: who is in the mesh, who is not and why. Its shape is a public interface (docs/reference). */
import {
  explainUnmeshed,
  INJECT_REASONS,
  type InjectReason,
  type JsonObject,
  type LabelledNamespace,
  type Remedies,
  standingFacts,
  standingOf,
  type UnmeshedCause,
  workloadOf,
} from "../inject/index.ts";
import {
  EXEMPT_NAMESPACES,
  INJECT_LABEL,
  INJECTED_ANNOTATION,
  MODE_LABEL,
  type Mode,
  modeOf,
  objectKey,
} from "../mesh/index.ts";
import type { Trust } from "./trust.ts";

export interface StatusReport extends MeshReport {
  readonly target: Target;
}

export type Target =
  | { readonly kind: "cluster"; readonly server: string }
  | { readonly kind: "play"; readonly process: number };

export interface MeshReport {
  readonly ok: boolean;
  readonly controlPlane: ControlPlane;
  readonly namespaces: readonly NamespaceStatus[];
  readonly pods: readonly PodStatus[];
  readonly proxyVersions: readonly ProxyVersion[];
}

export interface ControlPlane {
  readonly ready: boolean | null;
  readonly namespace: string;
  readonly version: string | null;
  readonly mode: Mode | null;
  readonly replicas: readonly Replica[] | null;
  readonly trust: Trust | null;
  readonly injector: Injector | null;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  readonly unseen: readonly Unseen[];
}

export interface Replica {
  readonly pod: string;
  readonly ready: boolean;
  readonly version: string | null;
  readonly leader: boolean;
}

export interface Injector {
  readonly webhooks: readonly {
    readonly name: string;
    readonly failurePolicy: string;
    readonly caBundle: CaBundleState;
  }[];
}

/** Against the trust bundle; `unknown` where that could not be read. */
export type CaBundleState = "current" | "missing" | "other" | "unknown";

export interface Problem {
  /** One sentence without a final stop. */
  readonly text: string;
  readonly fix: string | null;
}

/** What could not be looked at. */
export interface Unseen {
  readonly part: string;
  readonly why: string;
}

export interface NamespaceStatus {
  readonly name: string;
  readonly mode: Mode | null;
  readonly pods: number;
  readonly meshed: number;
  readonly unmeshed: number;
  readonly outside: Readonly<Partial<Record<InjectReason, number>>>;
}

export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly state: "meshed" | "unmeshed" | "outside";
  readonly workload: string | null;
  readonly reason: InjectReason | null;
  readonly cause: UnmeshedCause | null;
  readonly why: string | null;
  readonly fix: string | null;
  readonly proxyVersion: string | null;
}

export interface ProxyVersion {
  readonly version: string;
  readonly pods: number;
  readonly current: boolean;
}

/** What a report is made of, read from a cluster or from a play. */
export interface MeshFacts {
  readonly controlPlane: ControlPlane;
  /** All, or the one that was asked for. */
  readonly namespaces: readonly LabelledNamespace[];
  /** v1 Pods, of those namespaces. */
  readonly pods: readonly JsonObject[];
  readonly remedies: Remedies;
  /** The namespace that was asked for: it is told of, meshed or not. */
  readonly only: string | undefined;
}

export function meshReport({ controlPlane, namespaces, pods, remedies, only }: MeshFacts): MeshReport {
  const own = controlPlane.namespace;
  const known = new Map(namespaces.map((one) => [one.name, one]));
  const judged = pods
    .flatMap((pod) => podStatus(pod, known, own, remedies) ?? [])
    .sort((a, b) => compare(objectKey(a.namespace, a.name), objectKey(b.namespace, b.name)));
  const byNamespace = Map.groupBy(judged, (pod) => pod.namespace);
  const lines = namespaces
    .map((one) => namespaceStatus(one, byNamespace.get(one.name) ?? [], controlPlane.mode))
    .filter((line) => line.name === only || line.meshed > 0 || line.unmeshed > 0 || asks(known.get(line.name), own))
    .sort((a, b) => compare(a.name, b.name));
  return {
    ok: controlPlane.ready === true && !judged.some((pod) => pod.state === "unmeshed"),
    controlPlane,
    namespaces: lines,
    pods: judged,
    proxyVersions: proxyVersions(judged, controlPlane.version),
  };
}

/** Undefined for a pod that has ended, or whose namespace is gone. */
function podStatus(
  pod: JsonObject,
  namespaces: ReadonlyMap<string, LabelledNamespace>,
  own: string,
  remedies: Remedies,
): PodStatus | undefined {
  const { namespace: where = "", name = "" } = pod["metadata"] as {
    readonly namespace?: string;
    readonly name?: string;
  };
  const namespace = namespaces.get(where);
  if (namespace === undefined) return undefined;
  const facts = standingFacts(pod);
  const standing = standingOf(facts, namespace, own);
  if (standing.state === "ended") return undefined;
  const workload = workloadOf(pod);
  const shared = {
    namespace: where,
    name,
    state: standing.state,
    workload: workload === undefined ? null : `${workload.kind}/${workload.name}`,
    reason: null,
    cause: null,
    why: null,
    fix: null,
    proxyVersion: null,
  };
  switch (standing.state) {
    case "meshed":
      return { ...shared, proxyVersion: facts.annotations[INJECTED_ANNOTATION] ?? null };
    case "outside":
      return { ...shared, reason: standing.reason, why: INJECT_REASONS[standing.reason] };
    case "unmeshed":
      return { ...shared, reason: standing.reason, ...explainUnmeshed(pod, standing.reason, namespace, remedies) };
  }
}

function namespaceStatus({ name, labels }: LabelledNamespace, pods: readonly PodStatus[], mesh: Mode | null) {
  const said = labels[MODE_LABEL];
  const outside: Partial<Record<InjectReason, number>> = {};
  for (const { state, reason } of pods) {
    if (state === "outside" && reason !== null) outside[reason] = (outside[reason] ?? 0) + 1;
  }
  const count = (state: PodStatus["state"]) => pods.filter((pod) => pod.state === state).length;
  return {
    name,
    // What nobody may read cannot be told, unless the namespace says it itself.
    mode: mesh === null ? (said === "strict" || said === "permissive" ? said : null) : modeOf(mesh, said),
    pods: pods.length,
    meshed: count("meshed"),
    unmeshed: count("unmeshed"),
    outside,
  };
}

function asks(namespace: LabelledNamespace | undefined, own: string): boolean {
  if (namespace === undefined || namespace.labels[INJECT_LABEL] !== "enabled") return false;
  return namespace.name !== own && !EXEMPT_NAMESPACES.some((name) => name === namespace.name);
}

function proxyVersions(pods: readonly PodStatus[], operator: string | null): readonly ProxyVersion[] {
  const counts = new Map<string, number>();
  for (const { proxyVersion } of pods) {
    if (proxyVersion !== null) counts.set(proxyVersion, (counts.get(proxyVersion) ?? 0) + 1);
  }
  return [...counts]
    .map(([version, count]) => ({ version, pods: count, current: operator === null || version === operator }))
    .sort((a, b) => compare(a.version, b.version));
}

/** By code point, whatever the machine's language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Every field of the report with its meaning, for docs/reference/status.md: the compiler holds the table to the types. */
import type {
  ControlPlane,
  Injector,
  NamespaceStatus,
  PodStatus,
  Problem,
  ProxyVersion,
  Replica,
  StatusReport,
  Unseen,
} from "./report.ts";
import type { Root, Trust } from "./trust.ts";

type Fields<T> = { readonly [Key in keyof Required<T>]: string };

const report: Fields<StatusReport> = {
  target: 'what was asked: `{"kind": "cluster", "server": URL}` or `{"kind": "play", "process": PID}`',
  ok: "true when the control plane is ready and no pod is `unmeshed`: exit code 0, else 1",
  controlPlane: "the operator and what belongs to it",
  namespaces: "namespaces that ask for the mesh or have meshed or unmeshed pods, and the one named by `-n`; by name",
  pods: "every pod that runs or is to run, of all namespaces or of the one named by `-n`; by namespace and name",
  proxyVersions: "versions of the sidecars of meshed pods; by version",
};

const controlPlane: Fields<ControlPlane> = {
  ready: "true, false when there are problems, null when what it takes could not be looked at",
  namespace: "where the operator is",
  version: "version of the operator, null where it is not known",
  mode: "`strict` or `permissive`: the mode of namespaces that say nothing; null where it is not known",
  replicas: "the operator's replicas; null where they could not be listed",
  trust: "the trust bundle; null where there is none or it could not be read",
  injector:
    "the webhook configuration; null where there is none or it could not be read, and in a play, which injects itself",
  problems: "what keeps it from being ready",
  warnings: "what should be looked at",
  unseen: "what could not be looked at, with the permission that was missing",
};

const replica: Fields<Replica> = {
  pod: "name of the pod",
  ready: "whether it is ready",
  version: "its version, null where its labels do not say",
  leader: "whether it holds the Lease; false for all where the Lease could not be read",
};

const trust: Fields<Trust> = {
  trustDomain: "trust domain of the roots; null where they name none",
  roots: "the roots that are believed",
};

const root: Fields<Root> = {
  fingerprint: "SHA-256 of the certificate, lower-case hex",
  expires: "end of its validity, RFC 3339",
};

const webhook: Fields<Injector["webhooks"][number]> = {
  name: "name of the webhook",
  failurePolicy: "what happens to a new pod when no operator answers: `Ignore` or `Fail`",
  caBundle:
    "`current` when it is the trust bundle, `missing`, `other`, or `unknown` where the bundle could not be read",
};

const problem: Fields<Problem> = {
  text: "what is so, one sentence",
  fix: "what to do, null where nothing is to be done",
};

const unseen: Fields<Unseen> = {
  part: "`operator`, `replicas`, `leader`, `trust` or `injector`",
  why: "what the API server said: which permission is missing",
};

const namespace: Fields<NamespaceStatus> = {
  name: "name of the namespace",
  mode: "`strict` or `permissive`: what its meshed pods do with plaintext; null where it is not known",
  pods: "number of its pods",
  meshed: "number of them with a sidecar",
  unmeshed: "number of them that should have one and have not",
  outside: "number of them outside by choice, by reason",
};

const pod: Fields<PodStatus> = {
  namespace: "its namespace",
  name: "its name",
  state: "`meshed`, `unmeshed` (it should be meshed and is not) or `outside` (by choice)",
  workload: "`Kind/name` of what makes it again, a Deployment rather than its ReplicaSet; null for a bare pod",
  reason: "why it should or should not be meshed, a word of [injection.md](injection.md); null for a meshed pod",
  cause: "why an unmeshed pod is not, a word of [injection.md](injection.md); else null",
  why: "the same in words; null for a meshed pod",
  fix: "what to do about an unmeshed pod; else null",
  proxyVersion: "version that injected a meshed pod, null where nothing says it; else null",
};

const proxyVersion: Fields<ProxyVersion> = {
  version: "the version",
  pods: "number of meshed pods that run it",
  current: "whether it is the operator's, or that is not known",
};

/** The objects of the report, each with where it is found. */
export const STATUS_FIELDS: readonly {
  readonly path: string;
  readonly fields: Readonly<Record<string, string>>;
}[] = [
  { path: "", fields: report },
  { path: "controlPlane", fields: controlPlane },
  { path: "controlPlane.replicas[]", fields: replica },
  { path: "controlPlane.trust", fields: trust },
  { path: "controlPlane.trust.roots[]", fields: root },
  { path: "controlPlane.injector.webhooks[]", fields: webhook },
  { path: "controlPlane.problems[], controlPlane.warnings[]", fields: problem },
  { path: "controlPlane.unseen[]", fields: unseen },
  { path: "namespaces[]", fields: namespace },
  { path: "pods[]", fields: pod },
  { path: "proxyVersions[]", fields: proxyVersion },
];

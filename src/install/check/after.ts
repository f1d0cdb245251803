/** Checks of a mesh that is installed: operator, trust, injection, and the pods themselves. */
import {
  INIT_CONTAINER,
  INJECTED_ANNOTATION,
  OPERATOR_NAMES,
  PROXY_CONTAINER,
  ROOT_CERTIFICATE_FILE,
} from "../../mesh/index.ts";
import { see } from "../seen.ts";
import { CONTROL_PLANE_CHECKS, noBundle, operatorPods, ownBundle } from "./control-plane.ts";
import { type Check, type Finding, fail, some, warn } from "./finding.ts";
import type { Snapshot } from "./snapshot.ts";
import { isStrict, meshedPods, meshMode, namespaceLabels, unmeshedPods } from "./wanted.ts";

export const AFTER: readonly Check[] = [
  ...CONTROL_PLANE_CHECKS,
  {
    id: "operator-version",
    when: "after",
    claim: "replicas, sidecars and this tulle are of one version",
    judge: (snapshot) => versions(snapshot),
  },
  {
    id: "ca-store",
    when: "after",
    claim: "the CA store is there",
    judge(snapshot) {
      if (see(snapshot.caSecret) !== undefined) return [];
      return [
        fail(
          `there is no Secret ${snapshot.namespace}/${OPERATOR_NAMES.caSecret}: nothing can be signed`,
          "Restore it from a backup (kubectl apply -f BACKUP); docs/install.md tells of the other way, which ends all trust.",
        ),
      ];
    },
  },
  {
    id: "trust-bundles",
    when: "after",
    claim: "every namespace has the mesh's trust bundle",
    judge(snapshot) {
      const wanted = ownBundle(snapshot);
      if (wanted === undefined) return [noBundle(snapshot.namespace)];
      const held = new Map(
        see(snapshot.bundles).map((one) => [one.metadata.namespace, one.data?.[ROOT_CERTIFICATE_FILE]]),
      );
      const without = see(snapshot.namespaces)
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined && held.get(metadata.name) !== wanted)
        .map(({ metadata }) => metadata.name);
      if (without.length === 0) return [];
      return [
        fail(
          `namespaces without the newest bundle: ${some(without)}; new pods there cannot start`,
          `kubectl logs -n ${snapshot.namespace} deploy/tulle-operator says why it was not published.`,
        ),
      ];
    },
  },
  {
    id: "injection",
    when: "after",
    claim: "a new pod is injected",
    judge(snapshot) {
      const probe = see(snapshot.probe);
      if (probe === undefined || probe.outcome === "injected") return [];
      if (probe.outcome === "unknown") return [warn(`a pod made to try it was refused: ${probe.why}`)];
      return [
        fail(
          probe.why,
          `kubectl logs -n ${snapshot.namespace} deploy/tulle-operator; can the API server reach port 443 of Service tulle-operator (firewall between control plane and nodes: port 15017)?`,
        ),
      ];
    },
  },
  {
    id: "strict-policy",
    when: "after",
    claim: "strict namespaces refuse pods without sidecar",
    judge(snapshot) {
      const bindings = see(snapshot.bindings).filter((one) => one.spec.policyName === OPERATOR_NAMES.strictPolicy);
      const names = bindings
        .filter((one) => one.spec.validationActions?.includes("Deny"))
        .map((one) => one.metadata.name);
      const wanted = [
        OPERATOR_NAMES.strictPolicy,
        ...(meshMode(snapshot) === "strict" ? [`${OPERATOR_NAMES.strictPolicy}-mesh`] : []),
      ];
      const missing = wanted.filter((name) => !names.includes(name));
      if (missing.length === 0) return [];
      return [
        fail(
          `no ValidatingAdmissionPolicyBinding ${some(missing)} that denies`,
          "Apply the installation again: tulle upgrade, or helm upgrade.",
        ),
      ];
    },
  },
  {
    id: "unmeshed-pods",
    when: "after",
    claim: "every pod that should be meshed is",
    judge(snapshot) {
      const namespaces = namespaceLabels(snapshot);
      const byNamespace = Map.groupBy(unmeshedPods(snapshot), (pod) => pod.metadata.namespace ?? "");
      return [...byNamespace].map(([namespace, pods]) => {
        const text = `pods of namespace ${namespace} have no sidecar: ${some(pods.map((pod) => pod.metadata.name))}`;
        const fix = `kubectl rollout restart deployment,statefulset,daemonset -n ${namespace}; bare pods and Jobs are made anew by you`;
        return isStrict(snapshot, namespaces.get(namespace) ?? {})
          ? fail(`${text}; it is strict`, fix)
          : warn(text, fix);
      });
    },
  },
  {
    id: "sidecars",
    when: "after",
    claim: "every sidecar runs",
    judge: (snapshot) => sidecars(snapshot),
  },
];

function versions(snapshot: Snapshot): readonly Finding[] {
  const { version } = snapshot;
  const installed = see(snapshot.operator)?.metadata.labels?.["app.kubernetes.io/version"];
  if (installed === undefined) return [];
  // Others may put containers of their own beside it.
  const images = new Set(
    operatorPods(snapshot).map(({ spec }) => spec.containers.find(({ name }) => name === "operator")?.image ?? ""),
  );
  const others = meshedPods(snapshot).filter((pod) => {
    const injected = pod.metadata.annotations?.[INJECTED_ANNOTATION];
    return injected !== undefined && injected !== installed;
  });
  return [
    ...(images.size > 1
      ? [
          fail(
            `replicas run different images: ${some([...images])}`,
            "Wait for the rollout, or see kubectl rollout status.",
          ),
        ]
      : []),
    ...(installed === version
      ? []
      : [
          warn(
            `the operator is ${installed}, this tulle is ${version}`,
            "Upgrade the older one: tulle upgrade, or another tulle.",
          ),
        ]),
    ...(others.length === 0
      ? []
      : [
          warn(
            `sidecars are of another version than the operator (${installed}): ${some(others.map((pod) => `${pod.metadata.namespace}/${pod.metadata.name}`))}`,
            "Restart their workloads when it suits: kubectl rollout restart deployment -n NAMESPACE.",
          ),
        ]),
  ];
}

function sidecars(snapshot: Snapshot): readonly Finding[] {
  return meshedPods(snapshot).flatMap((pod): Finding[] => {
    const { namespace, name } = pod.metadata;
    const statuses = pod.status?.initContainerStatuses ?? [];
    const init = statuses.find((one) => one.name === INIT_CONTAINER)?.state;
    const exit = init?.terminated?.exitCode ?? 0;
    if (exit !== 0 || init?.waiting?.reason === "CrashLoopBackOff")
      return [
        fail(
          `${INIT_CONTAINER} of ${namespace}/${name} fails`,
          `kubectl logs -n ${namespace} ${name} -c ${INIT_CONTAINER}; if it says no-kernel-support: --set injection.legacyIptables=true`,
        ),
      ];
    const waiting = statuses.find((one) => one.name === PROXY_CONTAINER)?.state?.waiting?.reason;
    if (waiting === undefined || waiting === "PodInitializing" || waiting === "ContainerCreating") return [];
    return [
      fail(
        `${PROXY_CONTAINER} of ${namespace}/${name}: ${waiting}`,
        `kubectl logs -n ${namespace} ${name} -c ${PROXY_CONTAINER}`,
      ),
    ];
  });
}

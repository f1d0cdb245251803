/** Checks of a mesh that is installed: operator, trust, injection, and the pods themselves. */
import { X509Certificate } from "node:crypto";
import {
  INIT_CONTAINER,
  INJECTED_ANNOTATION,
  type Millis,
  OPERATOR_NAMES,
  PROXY_CONTAINER,
  ROOT_CERTIFICATE_FILE,
} from "../../mesh/index.ts";
import type { Pod } from "../objects.ts";
import { podTrouble, rolloutMissing } from "../readiness.ts";
import { type Check, type Finding, fail, pass, some, warn } from "./finding.ts";
import { type Snapshot, see } from "./snapshot.ts";
import { isStrict, meshedPods, meshMode, namespaceLabels, unmeshedPods } from "./wanted.ts";

const DAY = 86_400_000;
/** A root is rotated in weeks, not in hours. */
const EXPIRES_SOON = 60 * DAY;

export const AFTER: readonly Check[] = [
  {
    id: "operator",
    when: "after",
    claim: "every replica of the operator is ready",
    judge(snapshot) {
      const operator = see(snapshot.operator);
      const { namespace } = snapshot;
      if (operator === undefined)
        return [
          fail(
            `there is no operator in namespace ${namespace}`,
            "Install it: tulle install --wait (or name its place by --namespace).",
          ),
        ];
      const missing = rolloutMissing(operator);
      if (missing === undefined) return [pass(`${operator.spec.replicas ?? 1} replicas`)];
      const why = operatorPods(snapshot)
        .map(podTrouble)
        .find((one) => one !== undefined);
      const text = why === undefined ? missing : `${missing}; ${why}`;
      return [
        fail(
          text,
          `kubectl describe pods -n ${namespace} -l app.kubernetes.io/component=operator; kubectl logs -n ${namespace} deploy/tulle-operator`,
        ),
      ];
    },
  },
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
    id: "ca-expiry",
    when: "after",
    claim: "the mesh's root is valid for long",
    judge: (snapshot) => expiry(snapshot),
  },
  {
    id: "trust-bundles",
    when: "after",
    claim: "every namespace has the mesh's trust bundle",
    judge(snapshot) {
      const wanted = ownBundle(snapshot);
      if (wanted === undefined) return [noBundle(snapshot)];
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
    id: "webhook-trust",
    when: "after",
    claim: "the API server trusts the injector's certificate",
    judge(snapshot) {
      const injector = see(snapshot.injector);
      if (injector === undefined)
        return [
          fail(
            `there is no MutatingWebhookConfiguration ${OPERATOR_NAMES.injector}`,
            "Apply the installation again: tulle upgrade, or helm upgrade.",
          ),
        ];
      const wanted = ownBundle(snapshot);
      if (wanted === undefined) return [noBundle(snapshot)];
      const wrong = (injector.webhooks ?? [])
        .filter((one) => decoded(one.clientConfig.caBundle) !== wanted)
        .map((one) => one.name);
      if (wrong.length === 0) return [];
      return [
        fail(
          `the caBundle of ${some(wrong)} is not the mesh's bundle, which signs the operator's certificate`,
          "The operator writes it: see its log. If a GitOps tool writes it back, let that ignore the field (docs/install.md).",
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

function operatorPods({ pods, namespace }: Snapshot): readonly Pod[] {
  return see(pods).filter(
    ({ metadata }) =>
      metadata.namespace === namespace && metadata.labels?.["app.kubernetes.io/component"] === "operator",
  );
}

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

function expiry(snapshot: Snapshot): readonly Finding[] {
  const bundle = ownBundle(snapshot);
  if (bundle === undefined) return [noBundle(snapshot)];
  const pems = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const ends = pems.flatMap((pem) => endOf(pem) ?? []);
  if (ends.length === 0) return [fail("the trust bundle holds no certificate", "See the operator's log.")];
  const last = Math.max(...ends);
  const days = Math.floor((last - snapshot.now) / DAY);
  const until = new Date(last).toISOString().slice(0, 10);
  const fix = "See docs/install.md, The CA.";
  if (last <= snapshot.now) return [fail(`the newest root ran out on ${until}`, fix)];
  return last - snapshot.now < EXPIRES_SOON
    ? [warn(`the newest root runs out on ${until}, in ${days} days`, fix)]
    : [pass(`until ${until}`)];
}

/** Undefined for what is no certificate: somebody else may have written into the ConfigMap. */
function endOf(pem: string): Millis | undefined {
  try {
    return new X509Certificate(pem).validToDate.getTime();
  } catch {
    return undefined;
  }
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

function ownBundle({ bundles, namespace }: Snapshot): string | undefined {
  return see(bundles).find((one) => one.metadata.namespace === namespace)?.data?.[ROOT_CERTIFICATE_FILE];
}

function noBundle({ namespace }: Snapshot): Finding {
  return fail(
    `the operator has published no trust bundle in namespace ${namespace}`,
    `kubectl logs -n ${namespace} deploy/tulle-operator`,
  );
}

function decoded(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString();
}

/** Everything that the checks look at, read once. What may not be read is kept as such: it is a finding, not an error. */
import { type KubeObject, servedResources, serverVersion } from "../../kube/index.ts";
import { type Millis, OPERATOR_NAMES, TRUST_BUNDLE_CONFIG_MAP } from "../../mesh/index.ts";
import { type Cluster, find, list } from "../cluster.ts";
import { type ProbeResult, probeInjection, probeNamespace } from "../injection-probe.ts";
import { findInstallation, type Installation } from "../installation.ts";
import {
  API_SERVICES,
  type ApiService,
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  MUTATING_WEBHOOKS,
  NAMESPACES,
  NETWORK_POLICIES,
  type NetworkPolicy,
  NODES,
  type Node,
  PODS,
  POLICY_BINDINGS,
  type Pod,
  type PolicyBinding,
  resourceOf,
  SECRETS,
  SELF_ACCESS_REVIEWS,
  SERVICES,
  type Secret,
  type Service,
  VALIDATING_WEBHOOKS,
  type WebhookConfiguration,
  type Workload,
} from "../objects.ts";
import { everyObject } from "../render.ts";
import { type Seen, seen, Unseen } from "../seen.ts";

export interface Access {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly allowed: boolean;
}

export interface Snapshot {
  readonly now: Millis;
  /** Of this program. */
  readonly version: string;
  /** Where the operator is, or is to be. */
  readonly namespace: string;
  readonly server: Seen<{ readonly gitVersion: string; readonly major: number; readonly minor: number }>;
  /** Whether ValidatingAdmissionPolicy is served in its stable version. */
  readonly policiesServed: Seen<boolean>;
  readonly access: Seen<readonly Access[]>;
  readonly namespaces: Seen<readonly KubeObject[]>;
  readonly nodes: Seen<readonly Node[]>;
  readonly pods: Seen<readonly Pod[]>;
  readonly services: Seen<readonly Service[]>;
  readonly networkPolicies: Seen<readonly NetworkPolicy[]>;
  /** Mutating and validating ones. */
  readonly webhooks: Seen<readonly WebhookConfiguration[]>;
  readonly apiServices: Seen<readonly ApiService[]>;
  readonly installation: Seen<Installation | undefined>;
  readonly operator: Seen<Workload | undefined>;
  readonly injector: Seen<WebhookConfiguration | undefined>;
  readonly bindings: Seen<readonly PolicyBinding[]>;
  /** The trust bundle's ConfigMaps, one a namespace. */
  readonly bundles: Seen<readonly ConfigMap[]>;
  readonly caSecret: Seen<Secret | undefined>;
  /** Undefined where there is no injector to ask. */
  readonly probe: Seen<ProbeResult | undefined>;
}

export async function takeSnapshot(cluster: Cluster, version: string): Promise<Snapshot> {
  const { client, clock } = cluster;
  const { namespace } = cluster;
  const installation = await seen(() => findInstallation(cluster));
  const named = { name: OPERATOR_NAMES.injector };
  const [mutating, validating] = await Promise.all([
    seen(() => list(cluster, MUTATING_WEBHOOKS)),
    seen(() => list(cluster, VALIDATING_WEBHOOKS)),
  ]);
  const webhooks =
    mutating instanceof Unseen ? mutating : validating instanceof Unseen ? validating : [...mutating, ...validating];
  const installed = !(installation instanceof Unseen) && installation !== undefined;
  const bundleSelector = { fieldSelector: `metadata.name=${TRUST_BUNDLE_CONFIG_MAP}` };
  const [server, policiesServed, access, namespaces, nodes, pods, services, networkPolicies, apiServices] =
    await Promise.all([
      seen(() => serverVersion(client)),
      seen(async () =>
        (await servedResources(client, "admissionregistration.k8s.io/v1")).some(
          (one) => one.name === "validatingadmissionpolicies",
        ),
      ),
      seen(() => rights(cluster)),
      seen(() => list(cluster, NAMESPACES)),
      seen(() => list(cluster, NODES)),
      seen(() => list(cluster, PODS)),
      seen(() => list(cluster, SERVICES)),
      seen(() => list(cluster, NETWORK_POLICIES)),
      seen(() => list(cluster, API_SERVICES)),
    ]);
  const [operator, injector, bindings, bundles, caSecret, probe] = await Promise.all([
    seen(() => find(cluster, DEPLOYMENTS, { namespace, name: OPERATOR_NAMES.operator })),
    seen(() => find(cluster, MUTATING_WEBHOOKS, named)),
    seen(() => list(cluster, POLICY_BINDINGS)),
    seen(() => list(cluster, CONFIG_MAPS, bundleSelector)),
    seen(() => find(cluster, SECRETS, { namespace, name: OPERATOR_NAMES.caSecret })),
    seen(async () => (installed ? probeInjection(cluster, await probeNamespace(cluster)) : undefined)),
  ]);
  return {
    now: clock.now(),
    version,
    namespace,
    server,
    policiesServed,
    access,
    namespaces,
    nodes,
    pods,
    services,
    networkPolicies,
    webhooks,
    apiServices,
    installation,
    operator,
    injector,
    bindings,
    bundles,
    caSecret,
    probe,
  };
}

/** What the one who installs must be allowed to do; in the operator's namespace, for kinds that have one. */
async function rights({ client, namespace }: Cluster): Promise<readonly Access[]> {
  const kinds = new Map(everyObject(namespace).map((object) => [resourceOf(object).plural, resourceOf(object)]));
  kinds.delete("podmonitors");
  const questions = [...kinds.values()].flatMap(({ apiVersion, plural, namespaced }) => {
    const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
    const verbs = plural === "clusterroles" ? ["create", "patch", "escalate"] : ["create", "patch"];
    const where = namespaced ? { namespace } : {};
    return verbs.map((verb) => ({ verb, group, resource: plural, ...where }));
  });
  return Promise.all(
    questions.map(async (attributes) => {
      const { status } = await client.create(SELF_ACCESS_REVIEWS, { spec: { resourceAttributes: attributes } });
      return { ...attributes, allowed: status?.allowed === true };
    }),
  );
}

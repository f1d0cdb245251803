/** Checks of what is around the mesh and can keep it from working: Pod Security, NetworkPolicies, webhooks, other meshes. */
import { INJECT_LABEL, PORTS, SKIP_INBOUND_PORTS_ANNOTATION } from "../../mesh/index.ts";
import type { NetworkPolicy, Pod, ServiceReference } from "../objects.ts";
import { see } from "../seen.ts";
import { type Check, type Finding, fail, some, warn } from "./finding.ts";
import { selects } from "./selector.ts";
import type { Snapshot } from "./snapshot.ts";
import { isStrict, namespaceLabels, wantedPods } from "./wanted.ts";

const ENFORCE = "pod-security.kubernetes.io/enforce";
/** Containers by which other meshes are known. */
const OTHER_SIDECARS: Readonly<Record<string, string>> = {
  "istio-proxy": "Istio",
  "linkerd-proxy": "Linkerd",
  "consul-dataplane": "Consul",
  "kuma-sidecar": "Kuma",
};

export const SURROUNDINGS: readonly Check[] = [
  {
    id: "pod-security",
    when: "always",
    claim: "Pod Security lets the init container have NET_ADMIN",
    judge(snapshot) {
      const wanted = new Set(wantedPods(snapshot).map((pod) => pod.metadata.namespace));
      return [...namespaceLabels(snapshot)].flatMap(([name, labels]): Finding[] => {
        const level = labels[ENFORCE];
        if (labels[INJECT_LABEL] !== "enabled" && !wanted.has(name)) return [];
        if (level !== "baseline" && level !== "restricted") return [];
        return [
          fail(
            `namespace ${name} enforces ${level}, which refuses pods with NET_ADMIN`,
            `kubectl label namespace ${name} ${ENFORCE}=privileged --overwrite`,
          ),
        ];
      });
    },
  },
  {
    id: "network-policies",
    when: "always",
    claim: "NetworkPolicies let the mesh's ports in",
    judge: (snapshot) => shutPorts(snapshot),
  },
  {
    id: "strict-services",
    when: "always",
    claim: "the API server can reach its webhooks and API services",
    judge: (snapshot) => refusedCalls(snapshot),
  },
  {
    id: "other-meshes",
    when: "always",
    claim: "no other mesh holds the same pods",
    judge(snapshot) {
      const found = wantedPods(snapshot).flatMap(({ metadata, spec }) =>
        [...(spec.initContainers ?? []), ...spec.containers].flatMap(({ name }) => {
          const mesh = OTHER_SIDECARS[name];
          return mesh === undefined ? [] : [`${metadata.namespace}/${metadata.name} (${mesh})`];
        }),
      );
      if (found.length === 0) return [];
      return [
        fail(
          `pods have the sidecar of another mesh: ${some(found)}`,
          "Take the label of one of the two meshes from their namespaces.",
        ),
      ];
    },
  },
];

/** Policies add up: a port is shut when the pod is isolated and no policy that selects it opens the port. */
function shutPorts(snapshot: Snapshot): readonly Finding[] {
  const policies = see(snapshot.networkPolicies).filter(({ spec }) => spec.policyTypes?.includes("Ingress") ?? true);
  const shut = new Map<string, { readonly port: number; readonly policies: string; readonly pods: string[] }>();
  for (const pod of wantedPods(snapshot)) {
    const { namespace, name, labels = {} } = pod.metadata;
    const selecting = policies.filter(
      (one) => one.metadata.namespace === namespace && selects(one.spec.podSelector ?? {}, labels),
    );
    if (selecting.length === 0) continue;
    for (const port of [PORTS.hbone, PORTS.metrics]) {
      if (selecting.some((policy) => opens(policy, port, pod))) continue;
      const names = selecting.map((one) => one.metadata.name).join(", ");
      const key = `${namespace}/${names}/${port}`;
      const entry = shut.get(key) ?? { port, policies: `${names} in namespace ${namespace}`, pods: [] };
      entry.pods.push(name);
      shut.set(key, entry);
    }
  }
  return [...shut.values()].map(({ port, policies: names, pods }) => {
    const text = `NetworkPolicy ${names} lets nothing in on port ${port} of ${some(pods)}`;
    return port === PORTS.hbone
      ? fail(`${text}: no meshed connection arrives`, `Add to its ingress: - ports: [{port: ${port}, protocol: TCP}]`)
      : warn(
          `${text}: probes and metrics may not arrive`,
          `Add to its ingress: - ports: [{port: ${port}, protocol: TCP}]`,
        );
  });
}

function opens({ spec }: NetworkPolicy, wanted: number, pod: Pod): boolean {
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  const named = (name: string) =>
    name === (wanted === PORTS.hbone ? "tulle-hbone" : "tulle-metrics") ||
    containers.some((one) => one.ports?.some((port) => port.name === name && port.containerPort === wanted));
  return (spec.ingress ?? []).some(({ ports }) => {
    if (ports === undefined || ports.length === 0) return true;
    return ports.some(({ port, endPort, protocol = "TCP" }) => {
      if (protocol !== "TCP") return false;
      if (port === undefined) return true;
      if (typeof port === "string") return named(port);
      return endPort === undefined ? port === wanted : port <= wanted && wanted <= endPort;
    });
  });
}

/** The API server is in no mesh: what it calls in a strict namespace refuses it, unless the port is skipped. */
function refusedCalls(snapshot: Snapshot): readonly Finding[] {
  const namespaces = namespaceLabels(snapshot);
  const callers = [
    ...see(snapshot.webhooks).flatMap(({ metadata, webhooks = [] }) =>
      webhooks.map((one) => ({ by: `webhook ${metadata.name}`, service: one.clientConfig.service })),
    ),
    ...see(snapshot.apiServices).map(({ metadata, spec }) => ({
      by: `APIService ${metadata.name}`,
      service: spec.service,
    })),
  ];
  const seen = new Set<string>();
  return callers.flatMap(({ by, service }): Finding[] => {
    if (service === undefined) return [];
    const labels = namespaces.get(service.namespace);
    if (labels === undefined || !isStrict(snapshot, labels)) return [];
    const key = `${by} ${service.namespace}/${service.name}`;
    if (seen.has(key) || !isMeshed(snapshot, service)) return [];
    seen.add(key);
    return [
      fail(
        `${by} is served by ${service.namespace}/${service.name} in a strict namespace, which refuses the API server`,
        `Annotate its pods with ${SKIP_INBOUND_PORTS_ANNOTATION}: "<the port it listens on>", or label its namespace tulle.dev/mode=permissive.`,
      ),
    ];
  });
}

/** Whether a pod behind the Service is, or is to be, meshed and skips no port inbound. */
function isMeshed(snapshot: Snapshot, { namespace, name }: ServiceReference): boolean {
  const service = see(snapshot.services).find(
    (one) => one.metadata.namespace === namespace && one.metadata.name === name,
  );
  const { selector } = service?.spec ?? {};
  if (selector === undefined) return false;
  return wantedPods(snapshot).some(
    (pod) =>
      pod.metadata.namespace === namespace &&
      selects({ matchLabels: selector }, pod.metadata.labels ?? {}) &&
      pod.metadata.annotations?.[SKIP_INBOUND_PORTS_ANNOTATION] === undefined,
  );
}

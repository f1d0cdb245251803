/** Kubernetes objects → what the operator and the injector keep of them. Pure. */
import { type JsonObject, type LabelledNamespace, type StandingFacts, standingFacts } from "../../inject/index.ts";
import { type KubeObject, labelWrittenAt } from "../../kube/index.ts";
import {
  DEFAULT_CLUSTER_DOMAIN,
  type Endpoint,
  type EndpointsRecord,
  INJECT_LABEL,
  type Ip,
  MODE_LABEL,
  type Mode,
  modeOf,
  type PodRecord,
  parseIp,
  type ServiceRecord,
} from "../../mesh/index.ts";
import type { EndpointSlice, Pod, Service } from "../resources.ts";

/** What is kept of a namespace. */
export type NamespaceRecord = Pick<LabelledNamespace, "labels" | "labelWrittenAt">;

export function namespaceRecord(namespace: KubeObject): NamespaceRecord {
  return { labels: namespace.metadata.labels ?? {}, labelWrittenAt: labelWrittenAt(namespace, INJECT_LABEL) };
}

/** A pod without what depends on its namespace. */
export type PodFacts = Omit<PodRecord, "mode"> &
  StandingFacts & {
    /** Something makes it again when it is gone: it is no bare pod. */
    readonly controlled: boolean;
  };

export function podFacts(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  return {
    ...standingFacts(pod as unknown as JsonObject),
    uid: metadata.uid ?? "",
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    serviceAccount: spec.serviceAccountName ?? "default",
    ips: (status?.podIPs ?? []).flatMap(({ ip }) => parseIp(ip) ?? []),
    node: spec.nodeName ?? "",
    ready: status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true,
    controlled: metadata.ownerReferences?.some((one) => one.controller === true) === true,
  };
}

/** What the mesh knows of the pod, its mode included. */
export function podRecord(facts: PodFacts, mesh: Mode, namespaceLabels: Readonly<Record<string, string>>): PodRecord {
  const { annotations, os: _os, controlled: _controlled, ...rest } = facts;
  return { ...rest, mode: modeOf(mesh, namespaceLabels[MODE_LABEL], annotations[MODE_LABEL]) };
}

/** Undefined for a Service that has no address or name of the mesh's (ExternalName). */
export function serviceRecord(service: Service): ServiceRecord | undefined {
  const { metadata, spec } = service;
  if (spec.type === "ExternalName") return undefined;
  const namespace = metadata.namespace ?? "";
  return {
    namespace,
    name: metadata.name,
    hostname: `${metadata.name}.${namespace}.svc.${DEFAULT_CLUSTER_DOMAIN}`,
    clusterIps: (spec.clusterIPs ?? []).flatMap((ip) => parseIp(ip) ?? []),
    ports: (spec.ports ?? []).map((port) => ({
      name: port.name ?? "",
      port: port.port,
      protocol: port.protocol ?? "TCP",
    })),
  };
}

/** One slice's share of a Service's endpoints. */
export interface SliceRecord {
  readonly namespace: string;
  readonly service: string;
  readonly endpoints: readonly Endpoint[];
}

const SERVICE_NAME = "kubernetes.io/service-name";

/** Undefined for a slice that belongs to no Service or holds host names. */
export function sliceRecord(slice: EndpointSlice): SliceRecord | undefined {
  const service = slice.metadata.labels?.[SERVICE_NAME];
  if (service === undefined || slice.addressType === "FQDN") return undefined;
  const ports = (slice.ports ?? []).flatMap(({ name, port }) =>
    port === undefined ? [] : [{ name: name ?? "", port }],
  );
  const endpoints = (slice.endpoints ?? []).flatMap((endpoint): Endpoint[] => {
    const { targetRef } = endpoint;
    const podUid = targetRef?.kind === "Pod" ? targetRef.uid : undefined;
    // Only the first address counts (discovery/v1 Endpoint); absent readiness means ready.
    const ip: Ip | undefined = parseIp(endpoint.addresses[0] ?? "");
    return ip === undefined ? [] : [{ ip, podUid, ready: endpoint.conditions?.ready !== false, ports }];
  });
  return { namespace: slice.metadata.namespace ?? "", service, endpoints };
}

/** All slices of a Service as one record. */
export function joinSlices(namespace: string, service: string, slices: Iterable<SliceRecord>): EndpointsRecord {
  return { namespace, service, endpoints: [...slices].flatMap((slice) => slice.endpoints) };
}

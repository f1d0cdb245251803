/** Kubernetes objects → what the operator and the injector keep of them. Pure. */
import {
  DEFAULT_CLUSTER_DOMAIN,
  type Endpoint,
  type EndpointsRecord,
  INIT_CONTAINER,
  type Ip,
  MODE_LABEL,
  type Mode,
  type PodRecord,
  PROXY_CONTAINER,
  parseIp,
  type ServiceRecord,
} from "../../mesh/index.ts";
import type { EndpointSlice, Pod, Service } from "../resources.ts";

/** A pod without what depends on its namespace. */
export type PodFacts = Omit<PodRecord, "mode"> & {
  /** The pod's own word: it may only tighten. */
  readonly ownMode: Mode | undefined;
  readonly annotations: Readonly<Record<string, string>>;
  /** Said by the pod or by the node it selects; undefined where neither does. */
  readonly os: string | undefined;
  /** `kind/name` of what recreates it; undefined for a bare pod. */
  readonly controller: string | undefined;
};

export function podFacts(pod: Pod): PodFacts {
  const { metadata, spec, status } = pod;
  const owner = metadata.ownerReferences?.find((one) => one.controller === true);
  const init = spec.initContainers ?? [];
  return {
    uid: metadata.uid ?? "",
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    serviceAccount: spec.serviceAccountName ?? "default",
    ips: (status?.podIPs ?? []).flatMap(({ ip }) => parseIp(ip) ?? []),
    node: spec.nodeName ?? "",
    labels: metadata.labels ?? {},
    meshed:
      init.some((one) => one.name === INIT_CONTAINER) &&
      init.some((one) => one.name === PROXY_CONTAINER && one.restartPolicy === "Always"),
    hostNetwork: spec.hostNetwork === true,
    ready: status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true,
    terminating: metadata.deletionTimestamp !== undefined,
    finished: status?.phase === "Succeeded" || status?.phase === "Failed",
    ownMode: metadata.annotations?.[MODE_LABEL] === "strict" ? "strict" : undefined,
    annotations: metadata.annotations ?? {},
    os: spec.os?.name ?? spec.nodeSelector?.["kubernetes.io/os"],
    controller: owner === undefined ? undefined : `${owner.kind}/${owner.name}`,
  };
}

/** The mesh's mode, unless the namespace says another, unless the pod tightens it. */
export function podRecord(facts: PodFacts, mesh: Mode, namespaceLabels: Readonly<Record<string, string>>): PodRecord {
  const { ownMode, annotations: _annotations, os: _os, controller: _controller, ...rest } = facts;
  const said = namespaceLabels[MODE_LABEL];
  const mode = said === "strict" || said === "permissive" ? said : mesh;
  return { ...rest, mode: ownMode ?? mode };
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

/** Which pods stand behind a Service: what Kubernetes' endpoint controller computes. Pure. */
import { DEFAULT_CLUSTER_DOMAIN, type EndpointsRecord, type Ip, type ServiceRecord } from "../../mesh/index.ts";
import type { ContainerSpec, IpFamily, PodSpec, ServiceObject } from "../kinds.ts";
import { selects } from "../manifest/references.ts";
import { familyOf } from "./families.ts";

/** What the endpoint computation needs to know of a running pod. */
export interface PodFacts {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ips: readonly Ip[];
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly finished: boolean;
  readonly spec: PodSpec;
}

/**
 * The endpoints of one Service: one for each address, of the Service's families, of each pod that it selects, with target
 * ports resolved.
 */
export function endpointsOf(
  namespace: string,
  service: ServiceObject,
  families: readonly IpFamily[],
  pods: Iterable<PodFacts>,
): EndpointsRecord {
  const endpoints = [];
  for (const pod of pods) {
    if (pod.namespace !== namespace || pod.finished || !selects(service.spec.selector, pod.labels)) continue;
    const ready = (pod.ready || service.spec.publishNotReadyAddresses === true) && !pod.terminating;
    const ports = (service.spec.ports ?? []).flatMap((port) => {
      const target = targetPort(port.targetPort ?? port.port, pod.spec);
      return target === undefined ? [] : [{ name: port.name ?? "", port: target }];
    });
    for (const ip of pod.ips) {
      if (families.includes(familyOf(ip))) endpoints.push({ ip, podUid: pod.uid, ready, ports });
    }
  }
  return { namespace, service: service.metadata.name, endpoints };
}

/** The Service as the operator reads it. */
export function serviceRecord(namespace: string, service: ServiceObject, clusterIps: readonly Ip[]): ServiceRecord {
  const { name } = service.metadata;
  return {
    namespace,
    name,
    hostname: `${name}.${namespace}.svc.${DEFAULT_CLUSTER_DOMAIN}`,
    clusterIps,
    ports: (service.spec.ports ?? []).map((port) => ({
      name: port.name ?? "",
      port: port.port,
      protocol: port.protocol ?? "TCP",
    })),
  };
}

/** True for `clusterIP: None`. */
export function isHeadless(service: ServiceObject): boolean {
  return service.spec.clusterIP === "None" || service.spec.clusterIPs?.[0] === "None";
}

function targetPort(target: number | string, spec: PodSpec): number | undefined {
  if (typeof target === "number") return target;
  const containers: readonly ContainerSpec[] = [...spec.containers, ...(spec.initContainers ?? [])];
  for (const container of containers) {
    for (const port of container.ports ?? []) if (port.name === target) return port.containerPort;
  }
  return undefined;
}

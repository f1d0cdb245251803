/** Pods, Services and endpoints as the operator's stores hold them, for tests: a plain one, and what a test changes of it. */
import type { EndpointsRecord, Ip, PodRecord, ServiceRecord } from "../mesh/index.ts";

/** A meshed pod `shop/<name>` that is ready, with the service account of its name. */
export function podRecord(name: string, ip: string, changes: Partial<PodRecord> = {}): PodRecord {
  return {
    uid: `uid-${name}`,
    namespace: "shop",
    name,
    serviceAccount: name,
    ips: [ip as Ip],
    node: "node-1",
    labels: {},
    meshed: true,
    hostNetwork: false,
    ready: true,
    terminating: false,
    finished: false,
    mode: "permissive",
    ...changes,
  };
}

/** A Service `shop/<name>` with one port, 80. */
export function serviceRecord(name: string, vip: string, changes: Partial<ServiceRecord> = {}): ServiceRecord {
  return {
    namespace: "shop",
    name,
    hostname: `${name}.shop.svc.cluster.local`,
    clusterIps: [vip as Ip],
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
    ...changes,
  };
}

/** The pods as ready endpoints of `shop/<name>`, one for each address; its port goes to 8080. */
export function endpointsRecord(
  name: string,
  pods: readonly PodRecord[],
  changes: Partial<EndpointsRecord> = {},
): EndpointsRecord {
  const endpoints = pods.flatMap(({ uid, ips }) =>
    ips.map((ip) => ({ ip, podUid: uid, ready: true, ports: [{ name: "http", port: 8080 }] })),
  );
  return { namespace: "shop", service: name, endpoints, ...changes };
}

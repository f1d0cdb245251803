/** Addresses, workloads and services in short, as discovery would tell of them. */
import { type Ip, type MeshService, parseIp, serviceKey, type Workload } from "../mesh/index.ts";

/** Throws RangeError for text that is no address. */
export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new RangeError(`${text} is not an address`);
  return parsed;
}

/** A meshed, healthy workload of the namespace `shop` whose service account has its name. */
export function workload(name: string, ips: readonly string[], changes: Partial<Workload> = {}): Workload {
  return {
    uid: `uid-${name}`,
    name,
    namespace: "shop",
    serviceAccount: name,
    trustDomain: "cluster.local",
    ips: ips.map(ip),
    node: "node",
    tunnel: "hbone",
    healthy: true,
    services: {},
    authorizationPolicies: [],
    ...changes,
  };
}

/** A service of the namespace `shop` with one port. */
export function service(name: string, vips: readonly string[], servicePort = 80, targetPort = 8080): MeshService {
  const hostname = `${name}.shop.svc.cluster.local`;
  return { name, namespace: "shop", hostname, vips: vips.map(ip), ports: [{ servicePort, targetPort }] };
}

/** The ports of a service as an endpoint of it carries them. */
export function endpointOf(of: MeshService): Workload["services"] {
  return { [serviceKey(of.namespace, of.hostname)]: of.ports };
}

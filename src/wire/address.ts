/** Workloads and services between the mesh's types and `istio.workload.Address`. */
import {
  type Address,
  DEFAULT_TRUST_DOMAIN,
  formatIp,
  type Ip,
  type MeshService,
  type PortPair,
  parseIpBytes,
  serviceKey,
  type Workload,
} from "../mesh/index.ts";
import { codec } from "./codec.ts";
import { WireError } from "./errors.ts";
import * as gen from "./gen/istio/workload/workload.ts";

const ADDRESS = codec("istio.workload.Address", gen.Address);
const MAX_PORT = 65_535;
const DEFAULT_SERVICE_ACCOUNT = "default";

/** Name of an address on the wire: the pod's uid, or `namespace/hostname`. */
export function addressName(address: Address): string {
  if (address.kind === "workload") return address.workload.uid;
  return serviceKey(address.service.namespace, address.service.hostname);
}

export function addressToWire(address: Address): Uint8Array {
  return ADDRESS.encode({
    type:
      address.kind === "workload"
        ? { $case: "workload", value: workloadToWire(address.workload) }
        : { $case: "service", value: serviceToWire(address.service) },
  });
}

/** Throws WireError. */
export function addressFromWire(bytes: Uint8Array): Address {
  const { type } = ADDRESS.decode(bytes);
  if (type === undefined) throw new WireError("bad-address", "an Address that is neither a workload nor a service");
  if (type.$case === "workload") return { kind: "workload", workload: workloadFromWire(type.value) };
  return { kind: "service", service: serviceFromWire(type.value) };
}

function workloadToWire(workload: Workload): gen.Workload {
  const services = Object.entries(workload.services).map(([key, ports]) => [key, { ports: [...ports] }] as const);
  return {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    trustDomain: workload.trustDomain,
    addresses: workload.ips.map(ipToWire),
    node: workload.node,
    network: "",
    tunnelProtocol: workload.tunnel === "hbone" ? gen.TunnelProtocol.HBONE : gen.TunnelProtocol.NONE,
    canonicalName: workload.name,
    workloadName: workload.name,
    workloadType: gen.WorkloadType.POD,
    authorizationPolicies: workload.authorizationPolicies,
    status: workload.healthy ? gen.WorkloadStatus.HEALTHY : gen.WorkloadStatus.UNHEALTHY,
    clusterId: "",
    services: new Map(services),
    networkMode: gen.NetworkMode.STANDARD,
  };
}

function workloadFromWire(workload: gen.Workload): Workload {
  if (workload.uid === "") throw new WireError("bad-address", "a Workload without uid");
  // A protocol that we do not speak must not become plaintext.
  const tunnel = workload.tunnelProtocol;
  if (tunnel !== gen.TunnelProtocol.HBONE && tunnel !== gen.TunnelProtocol.NONE) {
    throw new WireError(
      "bad-address",
      `workload ${workload.uid} speaks the tunnel protocol ${tunnel}, which we do not`,
    );
  }
  const services = [...workload.services].map(([key, list]) => [key, list.ports.map(portFromWire)] as const);
  return {
    uid: workload.uid,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount || DEFAULT_SERVICE_ACCOUNT,
    trustDomain: workload.trustDomain || DEFAULT_TRUST_DOMAIN,
    ips: workload.addresses.map(ipFromWire),
    node: workload.node,
    tunnel: tunnel === gen.TunnelProtocol.HBONE ? "hbone" : "none",
    healthy: workload.status === gen.WorkloadStatus.HEALTHY,
    services: Object.fromEntries(services),
    authorizationPolicies: workload.authorizationPolicies,
  };
}

function serviceToWire(service: MeshService): gen.Service {
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    addresses: service.vips.map((ip) => ({ network: "", address: ipToWire(ip) })),
    ports: [...service.ports],
  };
}

function serviceFromWire(service: gen.Service): MeshService {
  if (service.hostname === "") throw new WireError("bad-address", "a Service without hostname");
  return {
    name: service.name,
    namespace: service.namespace,
    hostname: service.hostname,
    vips: service.addresses.map(({ address }) => ipFromWire(address)),
    ports: service.ports.map(portFromWire),
  };
}

function portFromWire({ servicePort, targetPort }: gen.Port): PortPair {
  if (servicePort < 1 || servicePort > MAX_PORT || targetPort > MAX_PORT) {
    throw new WireError("bad-address", `ports ${servicePort} → ${targetPort}: a port is at most ${MAX_PORT}`);
  }
  return { servicePort, targetPort };
}

function ipToWire(ip: Ip): Uint8Array {
  const bytes = parseIpBytes(ip);
  if (bytes === undefined) throw new WireError("bad-address", `${JSON.stringify(ip)} is not an address`);
  return bytes;
}

function ipFromWire(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16)
    throw new WireError("bad-address", `an address of ${bytes.length} bytes`);
  return formatIp(bytes);
}

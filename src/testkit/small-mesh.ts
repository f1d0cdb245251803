/** A small mesh as fast-check plays with it: few names and addresses, so that they meet often. */
import fc from "fast-check";
import { type EndpointsRecord, type Ip, MemoryStore, type PodRecord, type ServiceRecord } from "../mesh/index.ts";
import { Catalog } from "../operator/discovery/catalog.ts";
import { endpointsRecord, podRecord, serviceRecord } from "./mesh-records.ts";

export class SmallMesh {
  readonly pods = new MemoryStore<PodRecord>();
  readonly services = new MemoryStore<ServiceRecord>();
  readonly endpoints = new MemoryStore<EndpointsRecord>();

  catalog(): Catalog {
    const { pods, services, endpoints } = this;
    return new Catalog({ pods, services, endpoints, trustDomain: "cluster.local" });
  }
}

/** One write to the stores. */
export type MeshChange = (mesh: SmallMesh) => void;

export const POD_IPS = ["10.244.0.1", "10.244.0.2", "10.244.0.3", "fd00::1"] as Ip[];
export const SERVICE_IPS = ["10.96.0.1", "10.96.0.2"] as Ip[];
const NAMES = ["a", "b", "c"];
export const SERVICE_NAMES = ["x", "y"];

/** Every name that a client may ask for. */
export const ASKABLE = [
  ...[...POD_IPS, ...SERVICE_IPS].map((ip) => `/${ip}`),
  ...SERVICE_NAMES.map((name) => `shop/${name}.shop.svc.cluster.local`),
  ...NAMES.flatMap((name) => [`uid-${name}-0`, `uid-${name}-1`]),
  ...POD_IPS.map((ip) => `endpoint/${ip}`),
];

const pod = fc
  .record({
    name: fc.constantFrom(...NAMES),
    incarnation: fc.nat(1),
    ips: fc.uniqueArray(fc.constantFrom(...POD_IPS), { maxLength: 2 }),
    ready: fc.boolean(),
    terminating: fc.boolean(),
    finished: fc.boolean(),
    hostNetwork: fc.boolean(),
  })
  .map(({ name, incarnation, ...changes }) => podRecord(name, "", { uid: `uid-${name}-${incarnation}`, ...changes }));

const service = fc
  .record({
    name: fc.constantFrom(...SERVICE_NAMES),
    clusterIps: fc.uniqueArray(fc.constantFrom(...SERVICE_IPS), { maxLength: 2 }),
    port: fc.constantFrom(80, 81),
    protocol: fc.constantFrom("TCP" as const, "UDP" as const),
  })
  .map(({ name, clusterIps, port, protocol }) =>
    serviceRecord(name, "", { clusterIps, ports: [{ name: "http", port, protocol }] }),
  );

const endpoints = fc
  .record({
    name: fc.constantFrom(...SERVICE_NAMES),
    endpoints: fc.uniqueArray(
      fc.record({
        ip: fc.constantFrom(...POD_IPS),
        podUid: fc.constantFrom(undefined, ...NAMES.flatMap((name) => [`uid-${name}-0`, `uid-${name}-1`])),
        ready: fc.boolean(),
        ports: fc.constantFrom([], [{ name: "http", port: 8080 }], [{ name: "http", port: 9090 }]),
      }),
      { maxLength: 4, selector: (one) => one.podUid ?? one.ip },
    ),
  })
  .map(({ name, endpoints }) => endpointsRecord(name, [], { endpoints }));

export const meshChange: fc.Arbitrary<MeshChange> = fc.oneof(
  { weight: 4, arbitrary: pod.map((one) => (mesh: SmallMesh) => mesh.pods.set(`shop/${one.name}`, one)) },
  { weight: 3, arbitrary: service.map((one) => (mesh: SmallMesh) => mesh.services.set(`shop/${one.name}`, one)) },
  { weight: 4, arbitrary: endpoints.map((one) => (mesh: SmallMesh) => mesh.endpoints.set(`shop/${one.service}`, one)) },
  fc.constantFrom(...NAMES).map((name) => (mesh: SmallMesh) => mesh.pods.delete(`shop/${name}`)),
  fc.constantFrom(...SERVICE_NAMES).map((name) => (mesh: SmallMesh) => mesh.services.delete(`shop/${name}`)),
  fc.constantFrom(...SERVICE_NAMES).map((name) => (mesh: SmallMesh) => mesh.endpoints.delete(`shop/${name}`)),
);

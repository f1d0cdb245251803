/**
 * Every address that discovery can answer, as encoded resources: workloads of pods, endpoints without a pod, services.
 * Follows the stores; what changed is told once a turn of the event loop.
 */
import {
  type Address,
  type Endpoint,
  type EndpointsRecord,
  type Ip,
  objectKey,
  type PodRecord,
  type PortPair,
  type ServiceRecord,
  type Store,
  type StoreChange,
  serviceKey,
} from "../../mesh/index.ts";
import { addressName, addressToWire } from "../../wire/index.ts";
import { versionOf } from "./version.ts";

/** One resource of type Address. */
export interface CatalogEntry {
  /** Pod uid, `endpoint/<ip>`, or `namespace/hostname`. */
  readonly name: string;
  /** Hash of the content: the same on every replica and after a restart. */
  readonly version: string;
  readonly bytes: Uint8Array;
  /** `/<ip>`, the names by which a proxy asks for an address that it meets. */
  readonly aliases: readonly string[];
  /** Names of the services that it is an endpoint of; undefined for a service itself. */
  readonly services: readonly string[] | undefined;
}

export interface CatalogSources {
  readonly pods: Store<PodRecord>;
  readonly services: Store<ServiceRecord>;
  readonly endpoints: Store<EndpointsRecord>;
  readonly trustDomain: string;
}

export type CatalogListener = (changed: ReadonlySet<string>) => void;

export class Catalog implements Disposable {
  readonly #sources: CatalogSources;
  readonly #entries = new Map<string, CatalogEntry>();
  /** Alias → names of the entries that have it; several host-network pods share their node's. */
  readonly #byAlias = new Map<string, Set<string>>();
  /** Service name → names of the workloads behind it. */
  readonly #behind = new Map<string, Set<string>>();
  /** Pod uid → store key of the pod. */
  readonly #podKeys = new Map<string, string>();
  readonly #podIps = new Map<Ip, number>();
  /** Resource name → store keys of the Services that name it as an endpoint. */
  readonly #endpointOf = new Map<string, Set<string>>();
  /** Store key of a Service → its ready endpoints by resource name. */
  readonly #ready = new Map<string, ReadonlyMap<string, Endpoint>>();
  readonly #listeners = new Set<CatalogListener>();
  readonly #following: Disposable[];
  #dirty = new Set<string>();

  constructor(sources: CatalogSources) {
    this.#sources = sources;
    this.#following = [
      sources.pods.follow((change) => this.#podChanged(change)),
      sources.services.follow((change) => this.#serviceChanged(change)),
      sources.endpoints.follow((change) => this.#endpointsChanged(change)),
    ];
    for (const key of sources.pods.keys()) {
      const value = sources.pods.get(key);
      if (value !== undefined) this.#podChanged({ kind: "set", key, value, before: undefined });
    }
    for (const key of sources.endpoints.keys()) {
      const value = sources.endpoints.get(key);
      if (value !== undefined) this.#endpointsChanged({ kind: "set", key, value, before: undefined });
    }
    for (const key of sources.services.keys()) {
      const value = sources.services.get(key);
      if (value !== undefined) this.#serviceChanged({ kind: "set", key, value, before: undefined });
    }
    this.#flush();
  }

  get size(): number {
    return this.#entries.size;
  }

  get(name: string): CatalogEntry | undefined {
    return this.#entries.get(name);
  }

  all(): IterableIterator<CatalogEntry> {
    return this.#entries.values();
  }

  /**
   * What a subscription's name stands for: a resource by name, or everything at an address. A service comes with its
   * workloads. Empty: there is nothing of that name, for certain.
   */
  lookUp(name: string): readonly CatalogEntry[] {
    const found = new Map<string, CatalogEntry>();
    for (const one of [name, ...(this.#byAlias.get(name) ?? [])]) {
      const entry = this.#entries.get(one);
      if (entry === undefined) continue;
      found.set(one, entry);
      for (const workload of this.#behind.get(one) ?? []) {
        const behind = this.#entries.get(workload);
        if (behind !== undefined) found.set(workload, behind);
      }
    }
    return [...found.values()];
  }

  /** Names of the workloads behind a service. */
  behind(service: string): Iterable<string> {
    return this.#behind.get(service) ?? [];
  }

  /** Calls the listener with the names of what appeared, changed or went, until disposed. */
  follow(listener: CatalogListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  [Symbol.dispose](): void {
    for (const following of this.#following) following[Symbol.dispose]();
    this.#listeners.clear();
  }

  #podChanged(change: StoreChange<PodRecord>): void {
    const { before } = change;
    const value = change.kind === "set" ? change.value : undefined;
    if (before !== undefined) {
      for (const ip of occupied(before)) this.#countIp(ip, -1);
      if (before.uid !== value?.uid) this.#podKeys.delete(before.uid);
      this.#touch(before.uid);
    }
    if (value !== undefined) {
      for (const ip of occupied(value)) this.#countIp(ip, 1);
      this.#podKeys.set(value.uid, change.key);
      this.#touch(value.uid);
    }
  }

  /** An endpoint without a pod is a workload of its own only while no pod has its address. */
  #countIp(ip: Ip, by: 1 | -1): void {
    const count = (this.#podIps.get(ip) ?? 0) + by;
    if (count === 0) this.#podIps.delete(ip);
    else this.#podIps.set(ip, count);
    this.#touch(endpointName(ip));
  }

  #endpointsChanged(change: StoreChange<EndpointsRecord>): void {
    const { key, before } = change;
    const value = change.kind === "set" ? change.value : undefined;
    const named = new Set(value?.endpoints.map(nameOfEndpoint));
    for (const name of new Set(before?.endpoints.map(nameOfEndpoint))) {
      if (named.has(name)) continue;
      forget(this.#endpointOf, name, key);
      this.#touch(name);
    }
    for (const name of named) {
      if (this.#endpointOf.get(name)?.has(key) === true) continue;
      remember(this.#endpointOf, name, key);
      this.#touch(name);
    }
    const old = this.#ready.get(key) ?? NONE_READY;
    const ready = value === undefined ? NONE_READY : readyEndpoints(value);
    if (value === undefined) this.#ready.delete(key);
    else this.#ready.set(key, ready);
    // A service of a thousand endpoints changes by one of them most of the time.
    for (const [name, endpoint] of ready) if (!samePorts(old.get(name), endpoint)) this.#touch(name);
    for (const name of old.keys()) if (!ready.has(name)) this.#touch(name);
    this.#touch(`service ${key}`);
  }

  #serviceChanged(change: StoreChange<ServiceRecord>): void {
    const { key, before } = change;
    this.#touch(`service ${key}`);
    if (change.kind === "set" && before !== undefined && sameMembership(before, change.value)) return;
    // The ports by which workloads are endpoints of it may be others now.
    for (const name of this.#ready.get(key)?.keys() ?? []) this.#touch(name);
  }

  #touch(name: string): void {
    if (this.#dirty.size === 0) queueMicrotask(() => this.#flush());
    this.#dirty.add(name);
  }

  #flush(): void {
    const dirty = this.#dirty;
    if (dirty.size === 0) return;
    this.#dirty = new Set();
    const changed = new Set<string>();
    for (const name of dirty) {
      if (name.startsWith("service ")) this.#recomputeService(name.slice("service ".length), changed);
      else this.#put(name, this.#workload(name), changed);
    }
    if (changed.size > 0) for (const listener of [...this.#listeners]) listener(changed);
  }

  /** Services by store key: the resource's name holds the hostname, which went with the record. */
  readonly #serviceNames = new Map<string, string>();

  #recomputeService(key: string, changed: Set<string>): void {
    const record = this.#sources.services.get(key);
    const before = this.#serviceNames.get(key);
    const name = record === undefined ? undefined : serviceKey(record.namespace, record.hostname);
    if (before !== undefined && before !== name) this.#put(before, undefined, changed);
    if (record === undefined || name === undefined) {
      this.#serviceNames.delete(key);
      return;
    }
    this.#serviceNames.set(key, name);
    this.#put(name, this.#service(record), changed);
  }

  #put(name: string, address: Address | undefined, changed: Set<string>): void {
    const before = this.#entries.get(name);
    const entry = address === undefined ? undefined : makeEntry(address);
    if (before?.version === entry?.version) return;
    changed.add(name);
    for (const alias of before?.aliases ?? []) forget(this.#byAlias, alias, name);
    for (const service of before?.services ?? []) forget(this.#behind, service, name);
    if (entry === undefined) {
      this.#entries.delete(name);
      return;
    }
    this.#entries.set(name, entry);
    for (const alias of entry.aliases) remember(this.#byAlias, alias, name);
    for (const service of entry.services ?? []) remember(this.#behind, service, name);
  }

  #service(record: ServiceRecord): Address {
    const endpoints = this.#sources.endpoints.get(objectKey(record.namespace, record.name))?.endpoints ?? [];
    const ports = record.ports
      .filter((port) => port.protocol === "TCP")
      .map((port) => ({
        servicePort: port.port,
        targetPort: commonTarget(endpoints, port.name),
      }));
    const { name, namespace, hostname } = record;
    return { kind: "service", service: { name, namespace, hostname, vips: record.clusterIps, ports } };
  }

  #workload(name: string): Address | undefined {
    const { pods, trustDomain } = this.#sources;
    const ports = this.#memberships(name);
    const key = this.#podKeys.get(name);
    const pod = key === undefined ? undefined : pods.get(key);
    if (pod !== undefined) {
      if (pod.uid !== name || occupied(pod).length === 0) return undefined;
      return {
        kind: "workload",
        workload: {
          uid: pod.uid,
          name: pod.name,
          namespace: pod.namespace,
          serviceAccount: pod.serviceAccount,
          trustDomain,
          ips: pod.ips,
          node: pod.node,
          tunnel: pod.meshed && !pod.hostNetwork ? "hbone" : "none",
          // A ready endpoint counts although its pod is not ready: publishNotReadyAddresses. A pod that is being
          // stopped takes nothing new, whatever the endpoints still say.
          healthy: !pod.terminating && (pod.ready || Object.keys(ports).length > 0),
          services: ports,
          authorizationPolicies: [],
        },
      };
    }
    if (!name.startsWith(ENDPOINT_PREFIX) || !this.#endpointOf.has(name)) return undefined;
    const ip = name.slice(ENDPOINT_PREFIX.length) as Ip;
    if (this.#podIps.has(ip)) return undefined;
    // Of several services the first by name, not by time: every replica says the same.
    const [first = ""] = [...(this.#endpointOf.get(name) ?? [])].sort();
    const [namespace = "", service = ""] = first.split("/");
    return {
      kind: "workload",
      workload: {
        uid: name,
        name: service,
        namespace,
        serviceAccount: "",
        trustDomain,
        ips: [ip],
        node: "",
        tunnel: "none",
        healthy: Object.keys(ports).length > 0,
        services: ports,
        authorizationPolicies: [],
      },
    };
  }

  /** Service name → ports by which the named workload takes connections of it now. */
  #memberships(name: string): Record<string, readonly PortPair[]> {
    const memberships: Record<string, readonly PortPair[]> = {};
    for (const key of [...(this.#endpointOf.get(name) ?? [])].sort()) {
      const service = this.#sources.services.get(key);
      const endpoint = this.#ready.get(key)?.get(name);
      if (service === undefined || endpoint === undefined) continue;
      const pairs = service.ports.flatMap((port): PortPair[] => {
        const target = endpoint.ports.find((one) => one.name === port.name)?.port;
        return port.protocol !== "TCP" || target === undefined ? [] : [{ servicePort: port.port, targetPort: target }];
      });
      if (pairs.length > 0) memberships[serviceKey(service.namespace, service.hostname)] = pairs;
    }
    return memberships;
  }
}

const ENDPOINT_PREFIX = "endpoint/";

function endpointName(ip: Ip): string {
  return `${ENDPOINT_PREFIX}${ip}`;
}

function nameOfEndpoint(endpoint: Endpoint): string {
  return endpoint.podUid ?? endpointName(endpoint.ip);
}

const NONE_READY: ReadonlyMap<string, Endpoint> = new Map();

function readyEndpoints(record: EndpointsRecord): ReadonlyMap<string, Endpoint> {
  return new Map(record.endpoints.filter((one) => one.ready).map((one) => [nameOfEndpoint(one), one]));
}

/** 0: it differs by endpoint or is not known; each workload names its own. */
function commonTarget(endpoints: readonly Endpoint[], name: string): number {
  let common: number | undefined;
  for (const { ports } of endpoints) {
    const target = ports.find((one) => one.name === name)?.port ?? 0;
    if (common !== undefined && common !== target) return 0;
    common = target;
  }
  return common ?? 0;
}

/** Its workloads are endpoints of it in the same way. */
function sameMembership(a: ServiceRecord, b: ServiceRecord): boolean {
  return (
    a.hostname === b.hostname &&
    a.ports.length === b.ports.length &&
    a.ports.every((port, index) => {
      const other = b.ports[index];
      return port.name === other?.name && port.port === other.port && port.protocol === other.protocol;
    })
  );
}

function samePorts(a: Endpoint | undefined, b: Endpoint): boolean {
  return (
    a !== undefined &&
    a.ports.length === b.ports.length &&
    a.ports.every((port, index) => port.name === b.ports[index]?.name && port.port === b.ports[index]?.port)
  );
}

/** The addresses that a pod holds: one that has ended holds none. */
function occupied(pod: PodRecord): readonly Ip[] {
  return pod.finished ? [] : pod.ips;
}

function makeEntry(address: Address): CatalogEntry {
  const bytes = addressToWire(address);
  const ips = address.kind === "workload" ? address.workload.ips : address.service.vips;
  return {
    name: addressName(address),
    version: versionOf(bytes),
    bytes,
    aliases: ips.map((ip) => `/${ip}`),
    services: address.kind === "workload" ? Object.keys(address.workload.services) : undefined,
  };
}

function remember(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  if (names === undefined) index.set(key, new Set([name]));
  else names.add(name);
}

function forget(index: Map<string, Set<string>>, key: string, name: string): void {
  const names = index.get(key);
  names?.delete(name);
  if (names?.size === 0) index.delete(key);
}

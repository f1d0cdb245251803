/**
 * What the operator tells this proxy: addresses on demand, its settings, the trust bundle. State outlives the stream:
 * while the operator is away nothing is forgotten.
 */
import { parseTrustDomain, workloadSpiffeId } from "../identity/index.ts";
import type { Address, Clock, Ip, Logger, ProxySettings, Random } from "../mesh/index.ts";
import { parseIp } from "../mesh/index.ts";
import { addressFromWire, type Resource, settingsFromWire, TYPE_URLS, trustBundleFromWire } from "../wire/index.ts";
import type { ProxyConfig } from "./config.ts";
import { DeltaStream, type ResourceType } from "./delta-stream.ts";
import type { GrpcClient } from "./grpc-client.ts";
import { Ranges } from "./ranges.ts";
import { Resolver } from "./resolver.ts";
import type { TrustStore } from "./trust.ts";

export interface DiscoveryOptions {
  readonly config: ProxyConfig;
  readonly version: string;
  readonly grpc: GrpcClient;
  readonly trust: TrustStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Called after each change of settings or bundle that is in force now. */
  readonly onChange: () => void;
}

/** Name of a resource of which there is one. */
const ONLY = "default";

export class Discovery implements Disposable {
  readonly resolver: Resolver;
  readonly #options: DiscoveryOptions;
  readonly #stream: DeltaStream;
  #settings: ProxySettings | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    const addresses = this.#addresses();
    const { config, grpc, clock, random, logger } = options;
    this.#stream = new DeltaStream({
      grpc,
      clock,
      random,
      logger,
      node: nodeOf(config, options.version),
      types: [
        single(TYPE_URLS.settings, (bytes) => this.#takeSettings(settingsFromWire(bytes))),
        single(TYPE_URLS.trustBundle, (bytes) => this.#takeBundle(bytes)),
        addresses,
      ],
    });
    const stream = this.#stream;
    this.resolver = new Resolver(clock, random, {
      get session() {
        return stream.session;
      },
      subscribe: (ip) => stream.subscribe(addresses, nameOf(ip)),
      unsubscribe: (ip) => stream.unsubscribe(addresses, nameOf(ip)),
    });
  }

  /** The settings in force; undefined before the first ones came. */
  get settings(): ProxySettings | undefined {
    return this.#settings;
  }

  get connected(): boolean {
    return this.#stream.session !== undefined;
  }

  start(): void {
    this.#stream.start();
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]();
  }

  #takeSettings(settings: ProxySettings): void {
    this.resolver.setRanges(new Ranges(settings));
    this.#settings = settings;
    this.#options.logger.log("info", "settings applied", { mode: settings.mode, reissueEpoch: settings.reissueEpoch });
    this.#options.onChange();
  }

  #takeBundle(bytes: Uint8Array): void {
    const bundle = trustBundleFromWire(bytes);
    this.#options.trust.apply(bundle);
    this.#options.logger.log("info", "trust bundle applied", { sequence: bundle.sequence, roots: bundle.roots.length });
    this.#options.onChange();
  }

  #addresses(): ResourceType {
    return {
      typeUrl: TYPE_URLS.address,
      names: () => this.resolver.followed().map(nameOf),
      versions: () => this.resolver.book.versions(),
      apply: (resources, removed) => this.#takeAddresses(resources, removed),
    };
  }

  #takeAddresses(resources: readonly Resource[], removed: readonly string[]): readonly string[] {
    const { book } = this.resolver;
    const problems: string[] = [];
    const answered = new Set<Ip>();
    // Removals first: an address may pass from a removed workload to a new one in the same response.
    for (const name of removed) {
      for (const ip of book.delete(name)) answered.add(ip);
      const ip = ipOf(name);
      if (ip === undefined) continue;
      book.deleteAt(ip);
      answered.add(ip);
    }
    for (const resource of resources) {
      try {
        const address = readAddress(resource);
        for (const ip of book.set(resource.name, resource.version, address)) answered.add(ip);
      } catch (error) {
        problems.push(`${resource.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    this.resolver.answered(answered);
    return problems;
  }
}

/** Throws when a route could not be made of it later. */
function readAddress(resource: Resource): Address {
  const address = addressFromWire(bytesOf(resource));
  if (address.kind === "workload" && address.workload.tunnel === "hbone") {
    const { trustDomain, namespace, serviceAccount } = address.workload;
    workloadSpiffeId(parseTrustDomain(trustDomain), namespace, serviceAccount);
  }
  return address;
}

function bytesOf(resource: Resource): Uint8Array {
  if (resource.resource === undefined) throw new RangeError("the resource is empty");
  return resource.resource.value;
}

/** A type with the single resource "default", which is never removed: the last one stays in force. */
function single(typeUrl: string, take: (bytes: Uint8Array) => void): ResourceType {
  let version: string | undefined;
  return {
    typeUrl,
    names: () => [ONLY],
    versions: () => new Map(version === undefined ? [] : [[ONLY, version]]),
    apply(resources) {
      const problems: string[] = [];
      for (const resource of resources) {
        if (resource.name !== ONLY) continue;
        try {
          take(bytesOf(resource));
          version = resource.version;
        } catch (error) {
          problems.push(`${typeUrl}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
      return problems;
    },
  };
}

/** "network/ip" with the empty network. */
function nameOf(ip: Ip): string {
  return `/${ip}`;
}

function ipOf(name: string): Ip | undefined {
  return name.startsWith("/") ? parseIp(name.slice(1)) : undefined;
}

/** How ztunnel names itself (dataplane.md §2.6), so that another operator understands it too. */
function nodeOf(config: ProxyConfig, version: string) {
  const { name, namespace, ips, node } = config.pod;
  return {
    id: `sidecar~${ips[0] ?? ""}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: "",
    metadata: {
      NAME: name,
      NAMESPACE: namespace,
      INSTANCE_IPS: ips.join(","),
      NODE_NAME: node,
      TULLE_VERSION: version,
    },
  };
}

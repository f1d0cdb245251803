/**
 * What is in the cluster, as stores: pods, Services, endpoints and namespaces, kept equal to the API server's by reflectors.
 * A pod's mode follows its namespace's label.
 */
import { type KubeClient, type KubeObject, Reflector, type Resource, type Sink } from "../../kube/index.ts";
import {
  type Clock,
  type EndpointsRecord,
  type Logger,
  MemoryStore,
  type Mode,
  objectKey,
  type PodRecord,
  type Random,
  type ServiceRecord,
  type Store,
} from "../../mesh/index.ts";
import { ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICES } from "../resources.ts";
import {
  joinSlices,
  type NamespaceRecord,
  namespaceRecord,
  type PodFacts,
  podFacts,
  podRecord,
  type SliceRecord,
  serviceRecord,
  sliceRecord,
} from "./convert.ts";

export interface SourcesOptions {
  readonly client: KubeClient;
  /** For namespaces that do not say. */
  readonly mode: Mode;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export class ClusterSources implements Disposable {
  readonly pods = new MemoryStore<PodRecord>();
  readonly services = new MemoryStore<ServiceRecord>();
  readonly endpoints = new MemoryStore<EndpointsRecord>();
  /** Key: name. */
  readonly namespaces = new MemoryStore<NamespaceRecord>();
  /** Key: name of the node. */
  readonly nodeCidrs = new MemoryStore<readonly string[]>();
  /** What a pod says of itself beyond its record. */
  readonly podFacts: Store<PodFacts>;
  readonly #facts = new MemoryStore<PodFacts>();
  readonly #byNamespace = new Map<string, Set<string>>();
  readonly #slices = new Map<string, Map<string, SliceRecord>>();
  readonly #mode: Mode;
  readonly #reflectors: Reflector<KubeObject, unknown>[] = [];
  readonly #following: Disposable;

  constructor(options: SourcesOptions) {
    this.#mode = options.mode;
    this.podFacts = this.#facts;
    this.#following = this.namespaces.follow(({ key }) => this.#namespaceChanged(key));
    const reflect = <T extends KubeObject, V>(
      resource: Resource<T>,
      keep: (object: T) => V | undefined,
      sink: Sink<V>,
    ) => {
      const reflector = new Reflector<T, V>({ ...options, resource, keep, sink });
      this.#reflectors.push(reflector as unknown as Reflector<KubeObject, unknown>);
    };
    // Namespaces first: a pod whose namespace is not known yet has the mesh's mode.
    reflect(NAMESPACES, namespaceRecord, this.namespaces);
    reflect(NODES, (node) => node.spec.podCIDRs ?? [], this.nodeCidrs);
    reflect(SERVICES, serviceRecord, this.services);
    reflect(PODS, podFacts, {
      set: (key, facts) => this.#podSet(key, facts),
      delete: (key) => this.#podDelete(key),
    });
    reflect(ENDPOINT_SLICES, sliceRecord, {
      set: (key, slice) => this.#sliceSet(key, slice),
      delete: (key) => this.#sliceDelete(key),
    });
  }

  /** Fulfilled when every store holds what the cluster held at one moment. Rejects when disposed before. */
  get synced(): Promise<unknown> {
    return Promise.all(this.#reflectors.map((reflector) => reflector.synced));
  }

  /** Why a reflector cannot read, until it can. */
  get problems(): readonly string[] {
    return this.#reflectors.flatMap((reflector) => reflector.lastError?.message ?? []);
  }

  [Symbol.dispose](): void {
    for (const reflector of this.#reflectors) reflector[Symbol.dispose]();
    this.#following[Symbol.dispose]();
  }

  #podSet(key: string, facts: PodFacts): void {
    this.#facts.set(key, facts);
    const known = this.#byNamespace.get(facts.namespace);
    if (known === undefined) this.#byNamespace.set(facts.namespace, new Set([key]));
    else known.add(key);
    this.#publish(key, facts);
  }

  #podDelete(key: string): void {
    const facts = this.#facts.get(key);
    if (facts !== undefined) {
      const known = this.#byNamespace.get(facts.namespace);
      known?.delete(key);
      if (known?.size === 0) this.#byNamespace.delete(facts.namespace);
    }
    this.#facts.delete(key);
    this.pods.delete(key);
  }

  #namespaceChanged(namespace: string): void {
    for (const key of this.#byNamespace.get(namespace) ?? []) {
      const facts = this.#facts.get(key);
      if (facts !== undefined) this.#publish(key, facts);
    }
  }

  /** Most changes of a pod's status say nothing to the mesh. */
  #publish(key: string, facts: PodFacts): void {
    const record = podRecord(facts, this.#mode, this.namespaces.get(facts.namespace)?.labels ?? {});
    if (JSON.stringify(this.pods.get(key)) !== JSON.stringify(record)) this.pods.set(key, record);
  }

  #sliceSet(key: string, slice: SliceRecord): void {
    const owner = objectKey(slice.namespace, slice.service);
    const before = this.#ownerOf.get(key);
    if (before !== undefined && before !== owner) this.#sliceDelete(key);
    this.#ownerOf.set(key, owner);
    const slices = this.#slices.get(owner);
    if (slices === undefined) this.#slices.set(owner, new Map([[key, slice]]));
    else slices.set(key, slice);
    this.endpoints.set(owner, joinSlices(slice.namespace, slice.service, this.#slices.get(owner)?.values() ?? []));
  }

  #sliceDelete(key: string): void {
    const owner = this.#ownerOf.get(key);
    if (owner === undefined) return;
    this.#ownerOf.delete(key);
    const slices = this.#slices.get(owner);
    const gone = slices?.get(key);
    slices?.delete(key);
    if (gone === undefined) return;
    if (slices === undefined || slices.size === 0) {
      this.#slices.delete(owner);
      this.endpoints.delete(owner);
    } else this.endpoints.set(owner, joinSlices(gone.namespace, gone.service, slices.values()));
  }

  /** Key of a slice → key of its Service. */
  readonly #ownerOf = new Map<string, string>();
}

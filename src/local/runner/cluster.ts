/**
 * The objects of a play and the pods made from them: what an API server, the controllers and kubelet do on a cluster,
 * for the kinds that a manifest may hold.
 */
import { decide, InjectError, type JsonObject } from "../../inject/index.ts";
import {
  INJECT_LABEL,
  type Ip,
  type Millis,
  OPERATOR_SERVICE_ACCOUNT,
  objectKey,
  type Random,
  SYSTEM_NAMESPACE,
  TRUST_BUNDLE_CONFIG_MAP,
} from "../../mesh/index.ts";
import { LocalError } from "../errors.ts";
import type { DeploymentObject, KubernetesObject, ObjectMeta, PodSpec } from "../kinds.ts";
import { keyOf, type Placed } from "../manifest/placed.ts";
import { podSuffix, podUid, templateHash } from "./naming.ts";
import { type PodNode, PodWorker } from "./pod.ts";
import { recreate, rollout } from "./rollout.ts";

/** A pod as the injector gets it and gives it back. */
export interface PodTemplate {
  readonly metadata: Partial<ObjectMeta>;
  readonly spec: PodSpec;
}

export interface ClusterOptions {
  readonly random: Random;
  /** The meshed pod; undefined when nothing is injected. Throws InjectError for a pod that cannot be meshed. */
  readonly inject: ((pod: PodTemplate) => PodTemplate) | undefined;
  /** What pods share; its `changed` is the cluster's business. */
  readonly node: Omit<PodNode, "changed" | "configMap">;
  /** Addresses for a new pod. Throws LocalError while there are none. */
  readonly takeAddresses: () => readonly Ip[];
  readonly freeAddresses: (ips: readonly Ip[]) => void;
  /** Hears why a pod cannot be made yet. */
  readonly delayed: (error: LocalError) => void;
  /** Something changed: objects, or a pod's status. */
  readonly changed: (pod: PodWorker | undefined) => void;
}

export type Outcome = "created" | "configured" | "unchanged" | "deleted";

/** What happened to one object. */
export interface ObjectResult {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly outcome: Outcome;
}

/** How pods are stopped when their object goes; `grace` in milliseconds, the pod's own when undefined. */
export interface DeleteOptions {
  readonly grace?: Millis | undefined;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #node: PodNode;
  readonly #objects = new Map<string, Placed>();
  readonly #namespaces = new Map<string, Readonly<Record<string, string>>>();
  readonly #pods = new Map<string, PodWorker>();
  readonly #trustBundle = new Map<string, string>();
  readonly #createdAt = new Map<string, Millis>();
  /** By namespace. */
  readonly #injectLabelWrittenAt = new Map<string, Millis>();
  #closing = false;
  /** A pod waits for addresses. */
  #short = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#node = {
      ...options.node,
      configMap: (namespace, name) => this.configMap(namespace, name),
      changed: (pod) => this.#podChanged(pod),
    };
    this.#setNamespace("default", this.#impliedLabels("default"));
    this.#setNamespace(SYSTEM_NAMESPACE, { "kubernetes.io/metadata.name": SYSTEM_NAMESPACE });
    // The operator's Service is no object of anybody's manifest.
    this.#createdAt.set(`Service/${SYSTEM_NAMESPACE}/${OPERATOR_SERVICE_ACCOUNT}`, options.node.clock.now());
  }

  get objects(): readonly Placed[] {
    return [...this.#objects.values()];
  }

  get pods(): readonly PodWorker[] {
    return [...this.#pods.values()];
  }

  /** Namespaces by name, with their labels. */
  get namespaces(): ReadonlyMap<string, Readonly<Record<string, string>>> {
    return this.#namespaces;
  }

  /** When an object was first applied; a Namespace also when something else implied it. */
  createdAt(kind: string, namespace: string, name: string): Millis {
    return this.#createdAt.get(`${kind}/${namespace}/${name}`) ?? this.#node.clock.now();
  }

  /** When the label that asks for the mesh got its value; undefined where there was never one. */
  injectLabelWrittenAt(namespace: string): Millis | undefined {
    return this.#injectLabelWrittenAt.get(namespace);
  }

  pod(namespace: string, name: string): PodWorker | undefined {
    return this.#pods.get(objectKey(namespace, name));
  }

  configMap(namespace: string, name: string): Readonly<Record<string, string>> | undefined {
    if (name === TRUST_BUNDLE_CONFIG_MAP && this.#trustBundle.size > 0) return Object.fromEntries(this.#trustBundle);
    const placed = this.#objects.get(`ConfigMap/${namespace}/${name}`);
    return placed?.object.kind === "ConfigMap" ? (placed.object.data ?? {}) : undefined;
  }

  /** Writes the trust bundle's ConfigMap, which every namespace has. */
  setTrustBundle(file: string, pem: string): void {
    this.#trustBundle.set(file, pem);
    for (const pod of this.#pods.values()) pod.configMapChanged(TRUST_BUNDLE_CONFIG_MAP);
  }

  /**
   * Adds or changes objects. Every pod is injected on trial first, so that a refusal changes nothing. Throws LocalError
   * `not-injectable`.
   */
  apply(batch: readonly Placed[]): readonly ObjectResult[] {
    const order = ["Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment", "Pod"];
    const sorted = [...batch].sort((a, b) => order.indexOf(a.object.kind) - order.indexOf(b.object.kind));
    const declared = new Map(sorted.filter(isNamespace).map((one) => [one.object.metadata.name, one.object.metadata]));
    const batchKeys = new Set(sorted.map(keyOf));
    // A namespace with other labels may mesh what is there already, at the next start of its pods.
    const judged = this.objects.filter((one) => declared.has(one.namespace) && !batchKeys.has(keyOf(one)));
    for (const placed of [...sorted, ...judged]) {
      const template = templateOf(placed.object);
      const labels = declared.get(placed.namespace)?.labels ?? this.#namespaces.get(placed.namespace);
      if (template === undefined) continue;
      try {
        this.#injected(template, placed.namespace, labels ?? this.#impliedLabels(placed.namespace));
      } catch (error) {
        throw error instanceof InjectError ? refused(placed, error) : error;
      }
    }
    const results: ObjectResult[] = [];
    for (const placed of sorted) {
      const { kind, metadata } = placed.object;
      const key = keyOf(placed);
      const before = this.#objects.get(key);
      const same = before !== undefined && JSON.stringify(before.object) === JSON.stringify(placed.object);
      if (kind === "Namespace") {
        this.#setNamespace(metadata.name, { "kubernetes.io/metadata.name": metadata.name, ...metadata.labels });
      } else if (!this.#namespaces.has(placed.namespace)) {
        this.#setNamespace(placed.namespace, this.#impliedLabels(placed.namespace));
      }
      this.#objects.set(key, placed);
      if (before === undefined) this.#createdAt.set(key, this.#node.clock.now());
      const outcome: Outcome = before === undefined ? "created" : same ? "unchanged" : "configured";
      results.push({ kind, namespace: placed.namespace, name: metadata.name, outcome });
      if (kind === "ConfigMap" && !same) {
        for (const pod of this.#pods.values()) {
          if (pod.plan.namespace === placed.namespace) pod.configMapChanged(metadata.name);
        }
      }
      this.#reconcile(placed, outcome === "configured");
    }
    this.#options.changed(undefined);
    return results;
  }

  /** Removes one object and the pods made from it; resolves when they are gone. Throws LocalError `not-found`. */
  async delete(kind: string, namespace: string, name: string, options: DeleteOptions = {}): Promise<ObjectResult> {
    const at = kind === "Namespace" ? "" : namespace;
    const known = this.#objects.delete(`${kind}/${at}/${name}`);
    const result: ObjectResult = { kind, namespace: at, name, outcome: "deleted" };
    let gone: readonly PodWorker[] = [];
    if (kind === "Pod") {
      const pod = this.pod(namespace, name);
      if (pod === undefined && !known) throw notFound(kind, namespace, name);
      gone = pod === undefined ? [] : [pod];
    } else if (kind === "Namespace") {
      if (name === SYSTEM_NAMESPACE || name === "default") {
        throw new LocalError("namespace-kept", `namespace ${name} cannot be deleted`, { exitCode: 2 });
      }
      if (!this.#namespaces.delete(name)) throw notFound(kind, "", name);
      for (const [key, placed] of this.#objects) if (placed.namespace === name) this.#objects.delete(key);
      gone = this.pods.filter((pod) => pod.plan.namespace === name);
    } else {
      if (!known) throw notFound(kind, namespace, name);
      if (kind === "Deployment") gone = this.#podsOf(namespace, name);
    }
    const removed = Promise.all(gone.map((pod) => this.#remove(pod, options.grace)));
    this.#options.changed(undefined);
    await removed;
    return result;
  }

  /** Stops all pods at once; impatient with what does not handle SIGTERM. */
  async close(grace: Millis | undefined): Promise<void> {
    this.#closing = true;
    this.#objects.clear();
    await Promise.all(this.pods.map((pod) => pod.remove({ grace, impatient: true })));
  }

  #setNamespace(name: string, labels: Readonly<Record<string, string>>): void {
    if (this.#namespaces.get(name)?.[INJECT_LABEL] !== labels[INJECT_LABEL]) {
      this.#injectLabelWrittenAt.set(name, this.#node.clock.now());
    }
    if (!this.#namespaces.has(name)) this.#createdAt.set(`Namespace//${name}`, this.#node.clock.now());
    this.#namespaces.set(name, labels);
  }

  #impliedLabels(namespace: string): Readonly<Record<string, string>> {
    const inject = this.#options.inject === undefined ? {} : { [INJECT_LABEL]: "enabled" };
    return { "kubernetes.io/metadata.name": namespace, ...inject };
  }

  /** As a cluster's webhook decides it. */
  #injected(template: PodTemplate, namespace: string, labels: Readonly<Record<string, string>>): PodTemplate {
    const { inject } = this.#options;
    if (inject === undefined) return template;
    return decide(template as unknown as JsonObject, { name: namespace, labels }).mesh ? inject(template) : template;
  }

  #start(namespace: string, name: string, template: PodTemplate, owner: PodWorker["plan"]["owner"]): void {
    const labels = this.#namespaces.get(namespace) ?? this.#impliedLabels(namespace);
    const { metadata, spec } = this.#injected(template, namespace, labels);
    let ips: readonly Ip[];
    try {
      ips = this.#options.takeAddresses();
    } catch (error) {
      if (!(error instanceof LocalError)) throw error;
      // It is made when another one gives its addresses back.
      if (!this.#short) this.#options.delayed(error);
      this.#short = true;
      return;
    }
    const pod = new PodWorker(
      {
        namespace,
        name,
        uid: podUid(this.#options.random),
        labels: metadata.labels ?? {},
        annotations: metadata.annotations ?? {},
        spec,
        ips,
        owner,
      },
      this.#node,
    );
    this.#pods.set(pod.key, pod);
    void pod.run();
    this.#options.changed(pod);
  }

  async #remove(pod: PodWorker, grace?: Millis): Promise<void> {
    await pod.remove({ grace });
    if (this.#pods.get(pod.key) !== pod) return;
    this.#pods.delete(pod.key);
    this.#options.freeAddresses(pod.plan.ips);
    this.#options.changed(undefined);
    if (this.#closing) return;
    this.#reconcileOwner(pod);
    if (!this.#short) return;
    this.#short = false;
    for (const placed of this.#objects.values()) this.#reconcile(placed, false);
  }

  #podChanged(pod: PodWorker): void {
    if (this.#pods.get(pod.key) !== pod) return;
    this.#options.changed(pod);
    if (!this.#closing && pod.plan.owner !== undefined) this.#reconcileOwner(pod);
  }

  #reconcileOwner(pod: PodWorker): void {
    const { namespace, owner, name } = pod.plan;
    const key = owner === undefined ? `Pod/${namespace}/${name}` : `Deployment/${namespace}/${owner.name}`;
    const placed = this.#objects.get(key);
    if (placed !== undefined) this.#reconcile(placed, false);
  }

  #reconcile(placed: Placed, changed: boolean): void {
    if (placed.object.kind === "Pod") this.#reconcilePod(placed, changed);
    if (placed.object.kind === "Deployment") this.#reconcileDeployment(placed);
  }

  /** A bare Pod: started once; replaced when its object changed. */
  #reconcilePod(placed: Placed, changed: boolean): void {
    const { object, namespace } = placed;
    const template = templateOf(object);
    const there = this.pod(namespace, object.metadata.name);
    if (template === undefined) return;
    if (there === undefined) this.#start(namespace, object.metadata.name, template, undefined);
    else if (changed) void this.#remove(there);
  }

  #reconcileDeployment(placed: Placed): void {
    const { object, namespace } = placed;
    if (object.kind !== "Deployment") return;
    const template = templateOf(object);
    if (template === undefined) return;
    const { name } = object.metadata;
    const hash = templateHash(template);
    const all = this.#podsOf(namespace, name);
    const own = all
      .filter((pod) => !pod.terminating)
      .map((pod) => ({
        name: pod.plan.name,
        hash: pod.plan.owner?.hash ?? "",
        ready: pod.ready,
        finished: pod.finished,
      }));
    const replicas = object.spec.replicas ?? 1;
    const leaving = all.some((pod) => pod.terminating && pod.plan.owner?.hash !== hash);
    const step =
      object.spec.strategy?.type === "Recreate" ? recreate(own, replicas, hash, leaving) : rollout(own, replicas, hash);
    for (const gone of step.remove) {
      const pod = this.pod(namespace, gone);
      if (pod !== undefined) void this.#remove(pod);
    }
    for (let i = 0; i < step.create; i++) {
      const labelled = {
        metadata: { ...template.metadata, labels: { ...template.metadata.labels, "pod-template-hash": hash } },
        spec: template.spec,
      };
      const podName = `${name}-${hash}-${podSuffix(this.#options.random)}`;
      this.#start(namespace, podName, labelled, { name, hash });
    }
  }

  #podsOf(namespace: string, deployment: string): readonly PodWorker[] {
    return this.pods.filter((pod) => pod.plan.namespace === namespace && pod.plan.owner?.name === deployment);
  }
}

function templateOf(object: KubernetesObject): PodTemplate | undefined {
  if (object.kind === "Pod") return { metadata: object.metadata, spec: object.spec };
  if (object.kind !== "Deployment") return undefined;
  const { template } = (object satisfies DeploymentObject).spec;
  return { metadata: template.metadata ?? {}, spec: template.spec };
}

function isNamespace(placed: Placed): boolean {
  return placed.object.kind === "Namespace";
}

function refused({ object, position }: Placed, error: InjectError): LocalError {
  const where = `${position.file}:${position.line}: ${object.kind}/${object.metadata.name}`;
  return new LocalError("not-injectable", `${where} cannot be meshed: ${error.message}`, {
    exitCode: 2,
    cause: error,
    hint: `${error.hint ?? ""}\n  Or leave it outside the mesh with the label ${INJECT_LABEL}: disabled.`.trim(),
  });
}

function notFound(kind: string, namespace: string, name: string): LocalError {
  const where = namespace === "" ? "" : ` in namespace ${namespace}`;
  return new LocalError("not-found", `there is no ${kind} ${name}${where}`, { hint: "see `tulle get pods -A`" });
}

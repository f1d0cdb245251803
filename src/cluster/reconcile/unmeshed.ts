/**
 * Finds pods that should be meshed and are not: made while no webhook answered, or before the namespace was labelled. Tells
 * it on the pod (Event) and in a metric and, if allowed, evicts those that a controller makes again, within their disruption
 * budgets. The leader's work.
 */
import {
  explainUnmeshed,
  type InjectReason,
  type JsonObject,
  type LabelledNamespace,
  standingOf,
  type Unmeshed,
} from "../../inject/index.ts";
import { type EventRecorder, isKubeError, type KubeClient } from "../../kube/index.ts";
import { type Clock, type Logger, type Millis, objectKey } from "../../mesh/index.ts";
import { PODS } from "../resources.ts";
import type { NamespaceRecord, PodFacts } from "../sources/convert.ts";
import type { ClusterSources } from "../sources/sources.ts";

export interface UnmeshedOptions {
  readonly client: KubeClient;
  readonly sources: Pick<ClusterSources, "podFacts" | "namespaces">;
  /** The operator's own namespace: never meshed. */
  readonly namespace: string;
  readonly evict: boolean;
  /** Whether the webhook would inject the pod that takes an evicted one's place. */
  readonly webhookWorks: () => boolean;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
}

const LOOK_EVERY: Millis = 10_000;
/** A pod younger than this may still be on its way through admission and our own watch. */
const SETTLED_AFTER: Millis = 5_000;
/** Evictions one by one: the next only after a look has shown that the mesh goes on. */
const EVICTIONS_PER_LOOK = 1;

/** A pod whose namespace is not known yet is judged at the next look. */
const UNKNOWN: NamespaceRecord = { labels: {}, labelWrittenAt: undefined };

interface Found {
  readonly pod: PodFacts;
  readonly namespace: LabelledNamespace;
  readonly reason: InjectReason;
}

export class UnmeshedReconciler implements Disposable {
  readonly #options: UnmeshedOptions;
  readonly #seen = new Map<string, Millis>();
  #timer: Disposable | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;
  #unmeshed: readonly PodFacts[] = [];

  constructor(options: UnmeshedOptions) {
    this.#options = options;
    this.#schedule(0);
  }

  /** Pods that should be meshed and are not, as of the last look. */
  get unmeshed(): readonly PodFacts[] {
    return this.#unmeshed;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #schedule(delay: Millis): void {
    this.#timer = this.#options.clock.after(delay, () => {
      void this.look().finally(() => {
        if (!this.#closed) this.#schedule(LOOK_EVERY);
      });
    });
  }

  /** Looks now, or waits for the look that is under way. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { sources, clock, namespace: own, events, evict } = this.#options;
    const now = clock.now();
    const found: Found[] = [];
    const present = new Set<string>();
    for (const pod of sources.podFacts.values()) {
      const { labels, labelWrittenAt } = sources.namespaces.get(pod.namespace) ?? UNKNOWN;
      const namespace = { name: pod.namespace, labels, labelWrittenAt };
      const standing = standingOf(pod, namespace, own);
      if (standing.state !== "unmeshed") continue;
      present.add(pod.uid);
      const since = this.#seen.get(pod.uid) ?? now;
      this.#seen.set(pod.uid, since);
      if (now - since >= SETTLED_AFTER) found.push({ pod, namespace, reason: standing.reason });
    }
    for (const uid of [...this.#seen.keys()]) if (!present.has(uid)) this.#seen.delete(uid);
    this.#unmeshed = found.map(({ pod }) => pod);
    let evictions = 0;
    for (const one of found) {
      const { pod } = one;
      const explained = await this.#explain(one);
      // Whoever leads next may be at it already.
      if (this.#closed) return;
      if (explained === undefined) continue;
      const may = evict && explained.cause !== "refused" && pod.controlled;
      events.record({
        type: "Warning",
        reason: "NotMeshed",
        action: "Inject",
        note: `the pod should be meshed and is not: ${explained.why}; ${may ? "it will be evicted" : explained.fix}`,
        regarding: { apiVersion: "v1", kind: "Pod", namespace: pod.namespace, name: pod.name, uid: pod.uid },
      });
      if (!may || evictions >= EVICTIONS_PER_LOOK || !this.#options.webhookWorks()) continue;
      if (await this.#evict(pod)) evictions++;
    }
  }

  /** Undefined for a pod that is gone, or that cannot be judged now: the next look tries again. */
  async #explain({ pod, namespace, reason }: Found): Promise<Unmeshed | undefined> {
    const { client, logger } = this.#options;
    try {
      const object = await client.get(PODS, { namespace: pod.namespace, name: pod.name });
      return explainUnmeshed(object as unknown as JsonObject, reason, namespace, "kubectl");
    } catch (error) {
      if (!isKubeError(error, "not-found")) {
        const key = objectKey(pod.namespace, pod.name);
        logger.log("warn", "an unmeshed pod could not be judged", { pod: key, error: String(error) });
      }
      return undefined;
    }
  }

  async #evict(pod: PodFacts): Promise<boolean> {
    const { client, logger, events } = this.#options;
    const { namespace, name, uid } = pod;
    const body = {
      apiVersion: "policy/v1",
      kind: "Eviction",
      metadata: { namespace, name },
      deleteOptions: { preconditions: { uid } },
    };
    try {
      await client.createUnder(PODS, { namespace, name, subresource: "eviction" }, body);
      logger.log("info", "evicted a pod that was not meshed", { pod: objectKey(namespace, name) });
      events.record({
        type: "Normal",
        reason: "EvictedToMesh",
        action: "Evict",
        note: "evicted, so that its controller makes it again with the sidecar",
        regarding: { apiVersion: "v1", kind: "Pod", namespace, name, uid },
      });
      return true;
    } catch (error) {
      // A disruption budget says not now (429): the next look tries again.
      const budget = isKubeError(error, "too-many-requests");
      logger.log(budget ? "debug" : "warn", "a pod was not evicted", {
        pod: objectKey(namespace, name),
        error: String(error),
      });
      return false;
    }
  }
}

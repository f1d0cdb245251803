/** What each proxy says of itself, by pod: the acknowledgements that a rotation waits for, and what it has seen. */
import { type Clock, MemoryStore, type Millis, type PodRecord, type Store } from "../mesh/index.ts";
import type { ReportBatch } from "../wire/index.ts";

export interface ProxyReport {
  readonly podUid: string;
  readonly namespace: string;
  readonly pod: string;
  /** Its report stream is open. */
  readonly connected: boolean;
  /** By the operator's clock. */
  readonly receivedAt: Millis;
  /** The proxy's clock minus the operator's, as the last batch arrived. */
  readonly clockSkew: Millis;
  readonly batch: ReportBatch;
}

export class ReportTable implements Disposable {
  readonly #clock: Clock;
  readonly #reports = new MemoryStore<ProxyReport>();
  /** Which stream spoke last: the end of an older one says nothing. */
  readonly #streams = new Map<string, object>();
  readonly #following: Disposable;

  /** Forgets a pod's report when the pod is gone. */
  constructor(clock: Clock, pods: Store<PodRecord>) {
    this.#clock = clock;
    this.#following = pods.follow((change) => {
      const gone = change.before;
      if (gone === undefined || (change.kind === "set" && change.value.uid === gone.uid)) return;
      this.#reports.delete(gone.uid);
      this.#streams.delete(gone.uid);
    });
  }

  /** By pod uid. */
  get reports(): Store<ProxyReport> {
    return this.#reports;
  }

  /** `stream` is any object that stands for the stream the batch came on. */
  take(pod: PodRecord, batch: ReportBatch, stream: object): void {
    const now = this.#clock.now();
    this.#streams.set(pod.uid, stream);
    this.#reports.set(pod.uid, {
      podUid: pod.uid,
      namespace: pod.namespace,
      pod: pod.name,
      connected: true,
      receivedAt: now,
      clockSkew: batch.clockMillis - now,
      batch,
    });
  }

  /** The stream has ended. */
  ended(pod: PodRecord, stream: object): void {
    const report = this.#reports.get(pod.uid);
    if (report === undefined || this.#streams.get(pod.uid) !== stream) return;
    this.#streams.delete(pod.uid);
    this.#reports.set(pod.uid, { ...report, connected: false });
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
  }
}

/** What each proxy says of itself, by pod: the acknowledgements that a rotation waits for, and what it has seen. */
import { type Clock, MemoryStore, type Millis, objectKey, type PodRecord, type Store } from "../mesh/index.ts";
import type { ReportBatch } from "../wire/index.ts";

export interface ProxyReport {
  /** The replica that heard it: `local`, or another one's name. */
  readonly replica: string;
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

/** What this replica heard itself. */
export const LOCAL_REPLICA = "local";

export class ReportTable implements Disposable {
  readonly #clock: Clock;
  readonly #pods: Store<PodRecord>;
  readonly #reports = new MemoryStore<ProxyReport>();
  /** Which stream spoke last: the end of an older one says nothing. */
  readonly #streams = new Map<string, object>();
  readonly #following: Disposable;

  /** Forgets a pod's report when the pod is gone. */
  constructor(clock: Clock, pods: Store<PodRecord>) {
    this.#clock = clock;
    this.#pods = pods;
    this.#following = pods.follow((change) => {
      const gone = change.before;
      if (gone === undefined || (change.kind === "set" && change.value.uid === gone.uid)) return;
      this.#reports.delete(gone.uid);
      this.#streams.delete(gone.uid);
    });
  }

  /** By pod uid; of a proxy that several replicas know, what the one says that it is connected to, or the newest. */
  get reports(): Store<ProxyReport> {
    return this.#reports;
  }

  /** `stream` is any object that stands for the stream the batch came on. */
  take(pod: PodRecord, batch: ReportBatch, stream: object): void {
    const now = this.#clock.now();
    this.#streams.set(pod.uid, stream);
    this.#reports.set(pod.uid, {
      replica: LOCAL_REPLICA,
      podUid: pod.uid,
      namespace: pod.namespace,
      pod: pod.name,
      connected: true,
      receivedAt: now,
      clockSkew: batch.clockMillis - now,
      batch,
    });
  }

  /** What another replica heard. It yields to what is better known: a stream that is open, or a later batch. */
  takeRemote(report: ProxyReport): void {
    // Of a pod that is gone, or not known yet: the next batch comes within seconds.
    if (this.#pods.get(objectKey(report.namespace, report.pod))?.uid !== report.podUid) return;
    const known = this.#reports.get(report.podUid);
    if (known !== undefined && known.replica !== report.replica) {
      const better = report.connected === known.connected ? report.receivedAt > known.receivedAt : report.connected;
      if (!better) return;
    }
    this.#reports.set(report.podUid, report);
  }

  /** The replica does not answer any more: nobody knows whether its proxies are still there. */
  lostReplica(replica: string): void {
    for (const report of [...this.#reports.values()]) {
      if (report.replica === replica && report.connected)
        this.#reports.set(report.podUid, { ...report, connected: false });
    }
  }

  /** The stream has ended. */
  ended(pod: PodRecord, stream: object): void {
    if (this.#streams.get(pod.uid) !== stream) return;
    this.#streams.delete(pod.uid);
    const report = this.#reports.get(pod.uid);
    // The proxy may have gone over to another replica before this one noticed.
    if (report?.replica !== LOCAL_REPLICA) return;
    this.#reports.set(pod.uid, { ...report, connected: false });
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
  }
}

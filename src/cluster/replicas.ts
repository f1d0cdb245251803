/** Follows every other replica of the operator that is there, so that this one answers for all proxies. */
import { readFile } from "node:fs/promises";
import {
  type Clock,
  formatAuthority,
  IDENTITY_DIRECTORY,
  type Logger,
  OPERATOR_SERVICE_ACCOUNT,
  objectKey,
  operatorHost,
  PORTS,
  type PodRecord,
  TOKEN_FILE,
} from "../mesh/index.ts";
import { type Operator, ReplicaClient } from "../operator/index.ts";
import type { ClusterSources } from "./sources/sources.ts";

export interface ReplicasOptions {
  readonly sources: Pick<ClusterSources, "pods">;
  readonly operator: Operator;
  readonly namespace: string;
  readonly podName: string;
  readonly roots: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Replicas implements Disposable {
  readonly #options: ReplicasOptions;
  /** Pod uid and address, which a pod may lose with its sandbox → the client that follows it. */
  readonly #clients = new Map<string, ReplicaClient>();
  readonly #following: Disposable;

  constructor(options: ReplicasOptions) {
    this.#options = options;
    this.#following = options.sources.pods.follow((change) => {
      const pod = change.kind === "set" ? change.value : change.before;
      if (this.#isReplica(pod)) this.#look();
    });
    this.#look();
  }

  /** Other replicas that are followed now. */
  get size(): number {
    return this.#clients.size;
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
    for (const client of this.#clients.values()) client[Symbol.dispose]();
    this.#clients.clear();
  }

  #isReplica(pod: PodRecord): boolean {
    const { namespace, podName } = this.#options;
    return pod.namespace === namespace && pod.serviceAccount === OPERATOR_SERVICE_ACCOUNT && pod.name !== podName;
  }

  #look(): void {
    const wanted = new Map<string, PodRecord>();
    for (const pod of this.#options.sources.pods.values()) {
      if (this.#isReplica(pod) && !pod.finished && pod.ips.length > 0) wanted.set(`${pod.uid} ${pod.ips[0]}`, pod);
    }
    for (const [key, client] of this.#clients) {
      if (wanted.has(key)) continue;
      client[Symbol.dispose]();
      this.#clients.delete(key);
    }
    for (const [key, pod] of wanted) if (!this.#clients.has(key)) this.#clients.set(key, this.#connect(pod));
  }

  #connect(pod: PodRecord): ReplicaClient {
    const { namespace, operator, roots, clock, logger } = this.#options;
    const [ip] = pod.ips;
    if (ip === undefined) throw new RangeError(`${objectKey(pod.namespace, pod.name)} has no address`);
    return new ReplicaClient({
      replica: pod.name,
      address: formatAuthority(ip, PORTS.operatorGrpc),
      host: operatorHost(namespace),
      roots,
      token: async () => (await readFile(`${IDENTITY_DIRECTORY}/${TOKEN_FILE}`, "utf8")).trim(),
      table: operator.reportTable,
      clock,
      logger,
    });
  }
}

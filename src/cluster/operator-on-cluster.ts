/** The operator on Kubernetes, composed: reads the cluster, opens the CA store, serves, and does the leader's work when it leads. */
import type { Authority } from "../identity/index.ts";
import type { InjectConfig } from "../inject/index.ts";
import { Election, EventRecorder, type KubeClient, KubeError, type Term } from "../kube/index.ts";
import {
  type Clock,
  type Logger,
  type Millis,
  OPERATOR_NAMES,
  operatorHost,
  PORTS,
  type Random,
} from "../mesh/index.ts";
import { Operator } from "../operator/index.ts";
import type { ClusterConfig } from "./config.ts";
import { ClusterError } from "./errors.ts";
import { UnmeshedReconciler } from "./reconcile/unmeshed.ts";
import { Replicas } from "./replicas.ts";
import { LiveRanges, readServiceCidrs } from "./sources/ranges.ts";
import { ClusterSources } from "./sources/sources.ts";
import { serveStatus } from "./status-server.ts";
import { clusterTokenReviewer } from "./token-reviewer.ts";
import { BundlePublisher } from "./trust/bundle-publisher.ts";
import { CaStore } from "./trust/ca-store.ts";
import { CaGuard } from "./trust/guard.ts";
import { CaBundleKeeper } from "./webhook/ca-bundle.ts";
import { WebhookServer } from "./webhook/server.ts";

export interface ClusterDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly version: string;
}

const CA_AGAIN_AFTER: Millis = 5_000;
/** After SIGTERM this replica still answers: the API server and proxies hear of it only after a while. */
const LAME_DUCK: Millis = 5_000;

/** Runs until the signal is aborted. Throws KubeError and OperatorError for what keeps it from starting. */
export async function runClusterOperator(config: ClusterConfig, deps: ClusterDeps, signal: AbortSignal): Promise<void> {
  const replica = new Replica(config, deps);
  try {
    await replica.run(signal);
  } finally {
    await replica.close();
  }
}

class Replica {
  readonly #config: ClusterConfig;
  readonly #deps: ClusterDeps;
  readonly #sources: ClusterSources;
  readonly #open = new AsyncDisposableStack();
  #synced = false;
  #operator: Operator | undefined;
  #webhook: WebhookServer | undefined;
  #guard: CaGuard | undefined;
  /** Why there is no authority yet. */
  #caProblem: string | undefined;
  #election: Election | undefined;
  #unmeshed: UnmeshedReconciler | undefined;
  #leaving = false;

  constructor(config: ClusterConfig, deps: ClusterDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#sources = this.#open.use(new ClusterSources({ ...deps, mode: config.mode }));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps;
    const aborted = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#serveStatus();
    await Promise.race([this.#sources.synced, aborted]);
    if (signal.aborted) return;
    this.#synced = true;
    const store = new CaStore({
      client: this.#deps.client,
      namespace: this.#config.namespace,
      logger,
      authority: { ...this.#deps, trustDomain: this.#config.trustDomain, leafLifetime: this.#config.leafLifetime },
    });
    const authority = await this.#authority(store, signal);
    if (authority === undefined) return;
    await this.#serve(authority, store, signal);
    this.#elect(authority, signal);
    logger.log("info", "ready", { rootKeyId: authority.rootKeyId, namespace: this.#config.namespace });
    await aborted;
    this.#leaving = true;
    this.#webhook?.leave();
    await this.#election?.ended;
    await this.#sleep(LAME_DUCK);
  }

  async close(): Promise<void> {
    await this.#open.disposeAsync();
    this.#deps.logger.log("info", "stopped");
  }

  /** Asks until there is one: a store that is not as it should be is somebody's to mend, and then this goes on by itself. */
  async #authority(store: CaStore, signal: AbortSignal): Promise<Authority | undefined> {
    while (!signal.aborted) {
      try {
        const authority = await store.open();
        this.#caProblem = undefined;
        return authority;
      } catch (error) {
        if (!(error instanceof ClusterError || error instanceof KubeError)) throw error;
        const { logger } = this.#deps;
        if (error.message !== this.#caProblem) {
          logger.log("error", "no authority: nothing is signed", { problem: error.message, fix: error.hint });
        }
        this.#caProblem = error.message;
      }
      await this.#sleep(CA_AGAIN_AFTER);
    }
    return undefined;
  }

  async #serve(authority: Authority, store: CaStore, signal: AbortSignal): Promise<void> {
    const { client, clock, logger } = this.#deps;
    const { namespace, podCidrs, serviceCidrs } = this.#config;
    const guard = this.#open.use(new CaGuard(store, authority, clock, logger));
    this.#guard = guard;
    const services = serviceCidrs.length > 0 ? serviceCidrs : await readServiceCidrs(client, signal);
    const fixed = { pods: podCidrs, services };
    const ranges = this.#open.use(new LiveRanges(this.#sources, fixed, clock, () => this.#operator?.changed()));
    const operator = this.#open.use(
      new Operator({
        authority,
        reviewer: clusterTokenReviewer(client),
        pods: this.#sources.pods,
        services: this.#sources.services,
        endpoints: this.#sources.endpoints,
        ranges: () => ranges.current,
        unfit: () => guard.problem,
        namespace,
        listen: { hosts: ["::"], port: PORTS.operatorGrpc },
        ips: [],
        clock,
        logger,
      }),
    );
    this.#operator = operator;
    this.#open.use(
      new Replicas({
        sources: this.#sources,
        operator,
        namespace,
        podName: this.#config.podName,
        roots: () => authority.bundle().pem(),
        clock,
        logger,
      }),
    );
    this.#webhook = this.#open.use(
      new WebhookServer({
        hosts: ["::"],
        port: PORTS.operatorWebhook,
        material: () => operator.material,
        context: {
          config: this.#injection(),
          ownNamespace: namespace,
          namespaceLabels: (name) => this.#sources.namespaces.get(name)?.labels,
        },
        clock,
        logger,
      }),
    );
  }

  #injection(): InjectConfig {
    const { image, trustDomain, namespace, legacyIptables } = this.#config;
    return {
      image,
      version: this.#deps.version,
      trustDomain,
      operatorAddress: `${operatorHost(namespace)}:${PORTS.operatorGrpc}`,
      legacyIptables,
    };
  }

  #elect(authority: Authority, signal: AbortSignal): void {
    const { client, clock, random, logger } = this.#deps;
    const { namespace, podName } = this.#config;
    this.#election = new Election({
      client,
      namespace,
      name: OPERATOR_NAMES.lease,
      identity: `${podName}_${Buffer.from(random.bytes(4)).toString("hex")}`,
      clock,
      random,
      logger,
      lead: (term) => this.#lead(term, authority),
      signal,
    });
  }

  /** Until the term ends. */
  async #lead(term: Term, authority: Authority): Promise<void> {
    const { clock, random, logger, client } = this.#deps;
    const pem = () => authority.bundle().pem();
    const shared = { client, clock, random, logger, pem };
    const controller = "tulle.dev/operator";
    const events = new EventRecorder({ ...shared, controller, instance: this.#config.podName });
    const work = new DisposableStack();
    work.use(new BundlePublisher({ ...shared, namespaces: this.#sources.namespaces }));
    const keeper = work.use(new CaBundleKeeper({ ...shared, name: OPERATOR_NAMES.injector }));
    this.#unmeshed = work.use(
      new UnmeshedReconciler({
        client,
        sources: this.#sources,
        namespace: this.#config.namespace,
        evict: this.#config.allowEviction,
        webhookWorks: () => keeper.current,
        events,
        clock,
        logger,
      }),
    );
    await new Promise<void>((resolve) => {
      if (term.signal.aborted) resolve();
      else term.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#unmeshed = undefined;
    // Before the last Events are written, which takes a while: another replica may lead by then.
    work.dispose();
    await events.flush();
    events[Symbol.dispose]();
  }

  #serveStatus(): void {
    const server = serveStatus(PORTS.operatorMetrics, {
      missing: () => this.#missing(),
      unfit: () => this.#caProblem ?? this.#guard?.problem?.message,
      leading: () => this.#election?.leading === true,
      reviews: () => this.#webhook?.counts ?? new Map(),
      reports: () => this.#operator?.reports.values() ?? [],
      unmeshed: () => this.#unmeshed?.unmeshed.length ?? 0,
      certificatesIssued: () => this.#operator?.issued ?? 0,
      version: this.#deps.version,
    });
    this.#open.defer(() => server.stop(true));
  }

  #missing(): readonly string[] {
    if (this.#leaving) return ["nothing any more: it is stopping"];
    if (!this.#synced) return ["the first lists of the cluster", ...this.#sources.problems];
    if (this.#caProblem !== undefined) return [`the CA store: ${this.#caProblem}`];
    return this.#webhook === undefined ? ["its listeners"] : [];
  }

  #sleep(span: Millis): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(span, resolve));
  }
}

/** What the control socket's requests mean for a cluster. */
import {
  type Clock,
  type Mode,
  OPERATOR_SERVICE_ACCOUNT,
  objectKey,
  SYSTEM_NAMESPACE,
  TulleError,
} from "../../mesh/index.ts";
import type { Operator } from "../../operator/index.ts";
import type { MeshReport } from "../../status/index.ts";
import type { ContainerLog } from "../container/log.ts";
import type {
  ApplyAnswer,
  ApplyRequest,
  DeleteAnswer,
  DeleteRequest,
  ExecTarget,
  ReissueAnswer,
  ReissueState,
  Snapshot,
} from "../control/protocol.ts";
import { type ControlHandler, NOT_STARTED } from "../control/server.ts";
import { LocalError } from "../errors.ts";
import { parseManifests } from "../manifest/parse.ts";
import { formatProblem, NOTHING_STARTED } from "../manifest/problems.ts";
import type { Cluster, ObjectResult } from "./cluster.ts";
import { playReport } from "./mesh-report.ts";
import type { PodWorker } from "./pod.ts";
import type { ServiceNetwork } from "./services.ts";

/** The operator of a meshed play, what it logs, and whom it trusts. */
export interface RunningMesh {
  readonly operator: Operator;
  readonly log: ContainerLog;
  /** The trust bundle in PEM. */
  readonly trustBundle: () => string;
}

export class ClusterControl implements ControlHandler {
  readonly #cluster: Cluster;
  readonly #network: ServiceNetwork;
  readonly #clock: Clock;
  readonly #mesh: RunningMesh | undefined;
  readonly #version: string;
  readonly #mode: Mode;
  readonly #onStop: () => void;
  readonly #followers = new Set<() => void>();

  constructor(options: {
    readonly cluster: Cluster;
    readonly network: ServiceNetwork;
    readonly clock: Clock;
    /** Undefined when nothing is meshed. */
    readonly mesh: RunningMesh | undefined;
    readonly version: string;
    /** For namespaces that do not say. */
    readonly mode: Mode;
    readonly stop: () => void;
  }) {
    this.#cluster = options.cluster;
    this.#network = options.network;
    this.#clock = options.clock;
    this.#mesh = options.mesh;
    this.#version = options.version;
    this.#mode = options.mode;
    this.#onStop = options.stop;
  }

  /** Something changed: the watchers hear of it. */
  changed(): void {
    for (const follower of this.#followers) follower();
  }

  follow(changed: () => void): Disposable {
    this.#followers.add(changed);
    return { [Symbol.dispose]: () => void this.#followers.delete(changed) };
  }

  snapshot(): Snapshot {
    const cluster = this.#cluster;
    const pods = cluster.pods;
    const services = [...this.#network.services.values()].map((service) => {
      const known = this.#network.endpoints(service.namespace, service.name)?.endpoints ?? [];
      const ready = known.filter((one) => one.ready);
      // The operator runs in the node itself, for as long as the play does.
      const operator = service.namespace === SYSTEM_NAMESPACE && service.name === OPERATOR_SERVICE_ACCOUNT;
      return {
        namespace: service.namespace,
        name: service.name,
        clusterIps: service.clusterIps,
        ports: service.ports,
        endpoints: ready.map((one) => one.ip),
        readyPods: operator ? 1 : new Set(ready.map((one) => one.podUid)).size,
        createdAt: cluster.createdAt("Service", service.namespace, service.name),
      };
    });
    const deployments = cluster.objects.flatMap(({ object, namespace }) => {
      if (object.kind !== "Deployment") return [];
      const { name } = object.metadata;
      const own = pods.filter((pod) => pod.plan.namespace === namespace && pod.plan.owner?.name === name);
      const ready = own.filter((pod) => pod.ready).length;
      const createdAt = cluster.createdAt("Deployment", namespace, name);
      return [{ namespace, name, replicas: object.spec.replicas ?? 1, ready, createdAt }];
    });
    return {
      now: this.#clock.now(),
      namespaces: [...cluster.namespaces].map(([name, labels]) => ({
        name,
        labels,
        createdAt: cluster.createdAt("Namespace", "", name),
      })),
      pods: pods.map((pod) => pod.status),
      services,
      deployments,
    };
  }

  status(namespace: string | undefined): MeshReport {
    if (namespace !== undefined && !this.#cluster.namespaces.has(namespace)) {
      throw new LocalError("not-found", `there is no namespace ${namespace}`, {
        exitCode: 2,
        hint: "see `tulle get namespaces`",
      });
    }
    const mesh = { version: this.#version, mode: this.#mode, trustBundle: this.#mesh?.trustBundle };
    return playReport(this.#cluster, mesh, namespace);
  }

  log(namespace: string, podName: string, container: string | undefined, previous: boolean): ContainerLog {
    // The operator is no pod here, but is asked for like one.
    if (this.#mesh !== undefined && namespace === SYSTEM_NAMESPACE && podName === OPERATOR_SERVICE_ACCOUNT) {
      return this.#mesh.log;
    }
    const pod = this.#pod(namespace, podName);
    const name = this.#container(pod, container);
    const log = pod.log(name, previous);
    if (log !== undefined) return log;
    throw previous
      ? new LocalError("no-log", `container ${name} of pod ${podName} has not been restarted`)
      : new LocalError(NOT_STARTED, `container ${name} of pod ${podName} has not been started yet`, {
          hint: "see `tulle get pods` for why; `tulle logs -f` waits for it",
        });
  }

  async apply(request: ApplyRequest): Promise<ApplyAnswer> {
    return allOrNothing(() => {
      const podLimit = this.#network.podCapacity;
      const manifest = parseManifests(request.files, { existing: this.#cluster.objects, podLimit });
      this.#network.checkServices(manifest.objects);
      const results = this.#cluster.apply(manifest.objects);
      return { results, notices: manifest.notices.map(formatProblem) };
    });
  }

  async delete(request: DeleteRequest): Promise<DeleteAnswer> {
    const grace = request.grace;
    if (request.object !== undefined) {
      const { kind, namespace, name } = request.object;
      try {
        return { results: [await this.#cluster.delete(kind, namespace, name, { grace })], notFound: [] };
      } catch (error) {
        if (!isNotFound(error)) throw error;
        return { results: [], notFound: [error.message] };
      }
    }
    const { objects } = allOrNothing(() => parseManifests(request.files ?? [], { references: false }));
    const results: ObjectResult[] = [];
    const notFound: string[] = [];
    // Backwards, so that a Namespace goes after what it holds.
    await Promise.all(
      [...objects].reverse().map(async ({ object, namespace }) => {
        try {
          results.push(await this.#cluster.delete(object.kind, namespace, object.metadata.name, { grace }));
        } catch (error) {
          if (!isNotFound(error)) throw error;
          notFound.push(error.message);
        }
      }),
    );
    return { results, notFound };
  }

  execTarget(namespace: string, podName: string, container: string | undefined): ExecTarget {
    const pod = this.#pod(namespace, podName);
    const name = this.#container(pod, container);
    const state = pod.status.containers.find((one) => one.name === name)?.state;
    if (state?.kind !== "running") {
      throw new LocalError("not-running", `container ${name} of pod ${podName} is not running`, {
        hint: "see `tulle get pods`, and `tulle logs` for what it said",
      });
    }
    return { containerId: pod.containerId(name), flags: pod.execFlagsOf(name) };
  }

  reissue(): ReissueAnswer {
    if (this.#mesh === undefined) {
      throw new LocalError("no-mesh", "this play has no mesh: it was started with --no-inject", { exitCode: 2 });
    }
    return { epoch: this.#mesh.operator.reissue() };
  }

  reissued(epoch: number): ReissueState {
    const reports = [...(this.#mesh?.operator.reports.values() ?? [])];
    const waiting = reports.filter((report) => (report.batch.leaf?.epoch ?? -1) < epoch);
    return {
      proxies: reports.length,
      waiting: waiting.map((report) => objectKey(report.namespace, report.pod)).sort(),
    };
  }

  stop(): void {
    this.#onStop();
  }

  /** A pod by name, or `deployment/NAME` for one of its pods. */
  #pod(namespace: string, name: string): PodWorker {
    const deployment = /^deploy(?:ment)?\/(.+)$/.exec(name)?.[1];
    const own = this.#cluster.pods.filter((pod) => pod.plan.namespace === namespace);
    const found =
      deployment === undefined
        ? own.find((pod) => pod.plan.name === name.replace(/^pod\//, ""))
        : own.filter((pod) => pod.plan.owner?.name === deployment).sort((a, b) => Number(b.ready) - Number(a.ready))[0];
    if (found !== undefined) return found;
    const elsewhere = this.#cluster.pods.find((pod) => pod.plan.name === name);
    throw new LocalError("not-found", `there is no pod ${name} in namespace ${namespace}`, {
      hint:
        elsewhere === undefined
          ? "see `tulle get pods -A`"
          : `${objectKey(elsewhere.plan.namespace, name)} exists: add -n ${elsewhere.plan.namespace}`,
    });
  }

  #container(pod: PodWorker, name: string | undefined): string {
    if (name === undefined) return pod.defaultContainer;
    if (pod.containerNames.includes(name)) return name;
    throw new LocalError("not-found", `pod ${pod.plan.name} has no container ${name}`, {
      hint: `it has ${pod.containerNames.join(", ")}`,
    });
  }
}

/** A refusal of the input says that nothing was changed. */
function allOrNothing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof TulleError) || error.exitCode !== 2) throw error;
    const hint = (error.hint ?? "").replace(NOTHING_STARTED, "");
    throw new LocalError(error.code, error.message, {
      exitCode: 2,
      cause: error,
      hint: `Nothing was changed. ${hint}`.trim(),
    });
  }
}

function isNotFound(error: unknown): error is LocalError {
  return error instanceof LocalError && error.code === "not-found";
}

/** What passes over the control socket, as JSON: `get`, `logs`, `apply`, `delete`, `stop` and `exec` against a running play. */
import type { Ip, Millis } from "../../mesh/index.ts";
import type { ObjectResult } from "../runner/cluster.ts";
import type { PodStatus } from "../runner/status.ts";

export interface NamespaceView {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAt: Millis;
}

export interface ServiceListing {
  readonly namespace: string;
  readonly name: string;
  /** Empty for a headless Service. */
  readonly clusterIps: readonly Ip[];
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
  /** Addresses of the pods behind it that are ready, of the Service's families. */
  readonly endpoints: readonly Ip[];
  /** How many pods those are. */
  readonly readyPods: number;
  readonly createdAt: Millis;
}

export interface DeploymentListing {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  readonly ready: number;
  readonly createdAt: Millis;
}

/** Everything that `get` shows. */
export interface Snapshot {
  readonly now: Millis;
  readonly namespaces: readonly NamespaceView[];
  readonly pods: readonly PodStatus[];
  readonly services: readonly ServiceListing[];
  readonly deployments: readonly DeploymentListing[];
}

export interface ApplyRequest {
  readonly files: readonly { readonly name: string; readonly text: string }[];
}

export interface ApplyAnswer {
  readonly results: readonly ObjectResult[];
  readonly notices: readonly string[];
}

/** Either the objects of manifests, or one by name. */
export interface DeleteRequest {
  readonly files?: ApplyRequest["files"];
  readonly object?: { readonly kind: string; readonly namespace: string; readonly name: string };
  /** Milliseconds; the pods' own grace when undefined. */
  readonly grace?: Millis;
}

export interface DeleteAnswer {
  readonly results: readonly ObjectResult[];
  /** A sentence for each object that was not there. */
  readonly notFound: readonly string[];
}

/** Where `exec` goes. */
export interface ExecTarget {
  readonly containerId: string;
  /** For the runtime: the container's user, and no new privileges where it has none. */
  readonly flags: readonly string[];
}

export interface ReissueAnswer {
  /** What each proxy reports once it has a certificate that it asked for afterwards. */
  readonly epoch: number;
}

export interface ReissueState {
  /** Proxies that report. */
  readonly proxies: number;
  /** `namespace/pod` of those that have no certificate of the epoch yet. */
  readonly waiting: readonly string[];
}

export interface ErrorAnswer {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly exitCode: 1 | 2;
  };
}

/** Paths of the control socket; the version is raised when a meaning changes. */
export const PATHS = {
  snapshot: "/v1/snapshot",
  status: "/v1/status",
  watch: "/v1/watch",
  logs: "/v1/logs",
  apply: "/v1/apply",
  delete: "/v1/delete",
  execTarget: "/v1/exec-target",
  reissue: "/v1/reissue",
  stop: "/v1/stop",
} as const;

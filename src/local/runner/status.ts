/** What is known of a running pod, in the words of Kubernetes' API, and as `kubectl get pods` prints it. */
import type { Ip, Millis } from "../../mesh/index.ts";

export type ContainerState =
  | { readonly kind: "waiting"; readonly reason: string; readonly message?: string }
  | { readonly kind: "running"; readonly startedAt: Millis }
  | TerminatedState;

export interface TerminatedState {
  readonly kind: "terminated";
  readonly exitCode: number;
  /** `Completed`, `Error` or `StartError`. */
  readonly reason: string;
  readonly message?: string;
  readonly startedAt: Millis;
  readonly finishedAt: Millis;
}

export type ContainerRole = "init" | "sidecar" | "app";

export interface ContainerStatus {
  readonly name: string;
  readonly role: ContainerRole;
  readonly state: ContainerState;
  /** How the run before this one ended. */
  readonly last: TerminatedState | undefined;
  /** Its startup probe and postStart handler are done. */
  readonly started: boolean;
  readonly ready: boolean;
  readonly restarts: number;
  /** What its startup or readiness probe saw last, once that has failed for some seconds. */
  readonly unready?: string;
}

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

/** A pod as `get pods -o json` shows it. */
export interface PodStatus {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly phase: PodPhase;
  /** Why the pod as a whole cannot run. */
  readonly reason: string | undefined;
  readonly message: string | undefined;
  readonly ips: readonly Ip[];
  /** The node's end of its veth. */
  readonly veth: string;
  /** The name of its Deployment. */
  readonly owner: string | undefined;
  readonly meshed: boolean;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly createdAt: Millis;
  readonly containers: readonly ContainerStatus[];
}

/** `2/2`: ready containers of those that count (the app's and the sidecars). */
export function readyColumn(pod: Pick<PodStatus, "containers">): string {
  const counted = pod.containers.filter((container) => container.role !== "init");
  return `${counted.filter((container) => container.ready).length}/${counted.length}`;
}

/** Restarts of the containers that count. */
export function restartsOf(pod: Pick<PodStatus, "containers">): number {
  return pod.containers.reduce((sum, container) => sum + container.restarts, 0);
}

/** The STATUS column, as kubectl's `printPod` makes it. */
export function statusColumn(
  pod: Pick<PodStatus, "containers" | "phase" | "reason" | "terminating" | "ready">,
): string {
  if (pod.terminating) return "Terminating";
  const initial = initColumn(pod.containers);
  if (initial !== undefined) return initial;
  let reason: string = pod.reason ?? pod.phase;
  let running = false;
  for (const container of pod.containers.filter((one) => one.role === "app").reverse()) {
    const { state } = container;
    if (state.kind === "waiting") reason = state.reason;
    else if (state.kind === "terminated") reason = terminatedReason(state);
    else if (container.ready) running = true;
  }
  if (reason === "Completed" && running) return pod.ready ? "Running" : "NotReady";
  return reason;
}

/** Each container that is not as it should be, in a sentence; for people who ask why. */
export function troubles(pod: Pick<PodStatus, "containers" | "message">): readonly string[] {
  const lines: string[] = pod.message === undefined ? [] : [pod.message];
  for (const { name, state, last, unready } of pod.containers) {
    if (state.kind === "running" && unready !== undefined) lines.push(`container ${name} is not ready: ${unready}`);
    const ended = state.kind === "terminated" ? state : last;
    const said = state.kind === "waiting" && state.message !== undefined ? [state.message] : [];
    if (ended !== undefined && ended.exitCode !== 0 && state.kind !== "running") {
      const why = ended.message ?? `it ended with exit code ${ended.exitCode}`;
      lines.push(`container ${name}: ${[why, ...said].join("; ")}`);
    } else if (said.length > 0) lines.push(`container ${name}: ${said.join("; ")}`);
  }
  return lines;
}

function initColumn(containers: readonly ContainerStatus[]): string | undefined {
  const initial = containers.filter((one) => one.role !== "app");
  for (const [index, container] of initial.entries()) {
    const { state, role } = container;
    if (role === "sidecar" && container.started) continue;
    if (state.kind === "terminated") {
      if (state.exitCode === 0 && role === "init") continue;
      return `Init:${terminatedReason(state)}`;
    }
    if (state.kind === "waiting" && state.reason !== "PodInitializing") return `Init:${state.reason}`;
    return `Init:${index}/${initial.length}`;
  }
  return undefined;
}

function terminatedReason(state: TerminatedState): string {
  return state.reason !== "" ? state.reason : `ExitCode:${state.exitCode}`;
}

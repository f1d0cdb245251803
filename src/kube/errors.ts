/** The errors of this room, each code once with what it means and what to do about it. */
import { type ExitCode, type Millis, TulleError } from "../mesh/index.ts";

export const KUBE_ERRORS = {
  "no-config": "no kubeconfig was found and the process does not run in a pod",
  "bad-config": "the kubeconfig cannot be read or asks for what Tulle cannot do",
  "no-credentials": "the credentials of the kubeconfig or the pod cannot be had",
  "bad-name": "a name or namespace cannot stand in a path of the API",
  unreachable: "no connection to the API server, or it broke",
  "untrusted-server": "the API server's certificate is not signed by the given CA, or is for another name",
  timeout: "no answer in time",
  aborted: "the caller gave up",
  "bad-answer": "the answer is not what the Kubernetes API gives",
  "bad-request": "the API server does not understand the request (400, 405, 406, 415)",
  unauthorized: "the API server does not know who asks (401)",
  forbidden: "who asks may not do this (403)",
  "not-found": "there is no such object or kind (404)",
  "already-exists": "an object of that name exists (409 AlreadyExists)",
  conflict: "the object was changed by another, or a field belongs to another manager (409)",
  expired: "the resource version or continue token is too old (410)",
  "too-large": "the object is too large for the API server (413)",
  invalid: "the object breaks a rule of its kind (422)",
  "too-many-requests": "the API server asks to come back later (429)",
  "server-error": "the API server failed (500)",
  unavailable: "the API server cannot serve this now (503)",
  "exec-failed": "a command in a container could not be run",
} as const;

export type KubeErrorCode = keyof typeof KUBE_ERRORS;

/** One field of an object that the API server objects to (metav1.StatusCause). */
export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface KubeErrorOptions {
  readonly hint?: string;
  readonly exitCode?: ExitCode;
  readonly cause?: unknown;
  /** HTTP status of the answer, when there was one. */
  readonly status?: number;
  /** How long the server asks to wait before the next attempt. */
  readonly retryAfter?: Millis;
  readonly causes?: readonly StatusCause[];
}

/** What goes wrong between Tulle and the Kubernetes API. Never holds a token, a key or the body of an object. */
export class KubeError extends TulleError {
  declare readonly code: KubeErrorCode;
  readonly status: number | undefined;
  readonly retryAfter: Millis | undefined;
  readonly causes: readonly StatusCause[];

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    const hint = options.hint ?? HINTS[code];
    super(code, message, {
      exitCode: options.exitCode ?? (code === "bad-config" || code === "bad-name" ? 2 : 1),
      ...(hint === undefined ? {} : { hint }),
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    });
    this.status = options.status;
    this.retryAfter = options.retryAfter;
    this.causes = options.causes ?? [];
  }
}

/** True for a `KubeError` of one of the given codes. */
export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}

const HINTS: { readonly [code in KubeErrorCode]?: string } = {
  "no-config":
    "Set KUBECONFIG, or run in a pod with a service account; install, upgrade, uninstall, check and status also take --kubeconfig.",
  unreachable: "Check that the API server runs and that the server address of the kubeconfig is reachable from here.",
  "untrusted-server":
    "Check certificate-authority and tls-server-name of the kubeconfig. If the cluster's CA was renewed, fetch the kubeconfig again.",
  timeout: "Try again; if it stays so, look at the load of the API server and of etcd.",
  unauthorized: "Log in again, or renew the token or client certificate of the kubeconfig's user.",
  forbidden: "Ask for a Role or ClusterRole that allows it; `kubectl auth can-i --list` shows what is allowed.",
  conflict: "Read the object again and repeat the change on what is there now.",
  expired: "List again from the beginning.",
  "too-many-requests": "Wait and try again.",
  unavailable: "Try again; `kubectl get --raw /readyz?verbose` says what the API server waits for.",
};

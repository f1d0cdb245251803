/** metav1.Status, the API's own way to say what went wrong, read into a `KubeError`. */
import type { Millis } from "../mesh/index.ts";
import { KubeError, type KubeErrorCode, type StatusCause } from "./errors.ts";

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export interface Status {
  readonly kind?: string;
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly kind?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
}

/** The reason decides, since one HTTP status serves several (409: Conflict, AlreadyExists); types.go of apimachinery. */
const BY_REASON: Readonly<Record<string, KubeErrorCode>> = {
  Unauthorized: "unauthorized",
  Forbidden: "forbidden",
  NotFound: "not-found",
  AlreadyExists: "already-exists",
  Conflict: "conflict",
  Gone: "expired",
  Expired: "expired",
  Invalid: "invalid",
  ServerTimeout: "timeout",
  Timeout: "timeout",
  TooManyRequests: "too-many-requests",
  BadRequest: "bad-request",
  MethodNotAllowed: "bad-request",
  NotAcceptable: "bad-request",
  UnsupportedMediaType: "bad-request",
  RequestEntityTooLarge: "too-large",
  InternalError: "server-error",
  ServiceUnavailable: "unavailable",
};

const BY_CODE: Readonly<Record<number, KubeErrorCode>> = {
  401: "unauthorized",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  410: "expired",
  413: "too-large",
  422: "invalid",
  429: "too-many-requests",
  503: "unavailable",
  504: "timeout",
};

/** Longest message of the server that an error carries, in characters. */
const LONGEST_MESSAGE = 1000;

/**
 * The error for an answer that is not a success. `what` says what was tried: "get pods/web in namespace demo".
 * `retryAfter` is the header's value, which counts when the status names no delay.
 */
export function errorFromStatus(what: string, http: number, status: Status, retryAfter?: Millis): KubeError {
  const number = status.code ?? http;
  const code = (status.reason === undefined ? undefined : BY_REASON[status.reason]) ?? codeOf(number);
  const seconds = status.details?.retryAfterSeconds;
  const wait = seconds === undefined || seconds <= 0 ? retryAfter : seconds * 1000;
  const said =
    status.message === undefined || status.message === "" ? (status.reason ?? `HTTP ${number}`) : status.message;
  return new KubeError(code, `cannot ${what}: ${said.slice(0, LONGEST_MESSAGE)}`, {
    status: number,
    ...(wait === undefined ? {} : { retryAfter: wait }),
    ...(status.details?.causes === undefined ? {} : { causes: status.details.causes }),
  });
}

/** Delay in the header `retry-after` (RFC 9110 §10.2.3); the API server sends whole seconds only. */
export function retryAfterOf(headers: Headers): Millis | undefined {
  const value = headers.get("retry-after");
  return value !== null && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : undefined;
}

function codeOf(number: number): KubeErrorCode {
  const known = BY_CODE[number];
  if (known !== undefined) return known;
  // The API server redirects nobody: someone else answered.
  if (number < 400) return "bad-answer";
  return number < 500 ? "bad-request" : "server-error";
}

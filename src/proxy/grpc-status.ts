/** gRPC's status codes, and how a call that ended tells its own. */
import { ERROR_CODES, type HeaderList } from "../tunnel/index.ts";
import { ProxyError } from "./errors.ts";

/** The codes that this client tells apart (gRPC status codes, "statuscodes.md"). */
export const STATUS = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
}

/** A call that ended with another status than OK. Code: `grpc-<number>`. */
export class GrpcError extends ProxyError {
  readonly status: GrpcStatus;

  constructor(path: string, status: GrpcStatus) {
    super(`grpc-${status.code}`, `${path} answered ${nameOf(status.code)}: ${status.message}`);
    this.status = status;
  }
}

/** From the trailers, or from the head of a response that has nothing else. */
export function statusOf(headers: HeaderList): GrpcStatus {
  const text = headerValue(headers, "grpc-status");
  if (text === undefined || !/^\d{1,3}$/.test(text)) return { code: STATUS.unknown, message: "no grpc-status" };
  return { code: Number(text), message: decodeMessage(headerValue(headers, "grpc-message") ?? "") };
}

/** What is wrong with a response's head, or undefined ("PROTOCOL-HTTP2.md": HTTP status to gRPC status). */
export function badHead(headers: HeaderList): GrpcStatus | undefined {
  const status = headerValue(headers, ":status");
  if (status !== "200") {
    const code =
      status === "401"
        ? STATUS.unauthenticated
        : status === "403"
          ? STATUS.permissionDenied
          : status === "404"
            ? STATUS.unimplemented
            : status === "429" || status === "502" || status === "503" || status === "504"
              ? STATUS.unavailable
              : STATUS.unknown;
    return { code, message: `HTTP status ${status ?? "missing"}` };
  }
  const type = headerValue(headers, "content-type") ?? "";
  return type.startsWith("application/grpc") ? undefined : { code: STATUS.unknown, message: "not a gRPC response" };
}

/** A stream that was reset. */
export function statusOfReset(code: number): GrpcStatus {
  if (code === ERROR_CODES.REFUSED_STREAM) return { code: STATUS.unavailable, message: "the stream was refused" };
  if (code === ERROR_CODES.CANCEL) return { code: STATUS.unavailable, message: "the stream or its connection was cut" };
  if (code === ERROR_CODES.ENHANCE_YOUR_CALM) return { code: STATUS.resourceExhausted, message: "too many requests" };
  return { code: STATUS.internal, message: `the stream was reset with code ${code}` };
}

export function headerValue(headers: HeaderList, name: string): string | undefined {
  for (const header of headers) if (header[0] === name) return header[1];
  return undefined;
}

/** Percent-decoded, as far as it is well-formed, and at most 1 KiB. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text).slice(0, 1024);
  } catch {
    return text.slice(0, 1024);
  }
}

function nameOf(code: number): string {
  return Object.entries(STATUS).find(([, value]) => value === code)?.[0] ?? `status ${code}`;
}

/** The errors of this room, and how a refused call is told over gRPC. */
import { status } from "@grpc/grpc-js";
import { TulleError } from "../mesh/index.ts";

/** What keeps the operator from serving. Code: `bind-failed`. */
export class OperatorError extends TulleError {}

/** gRPC's status codes by name, as grpc-js numbers them. */
export type StatusName =
  | "INVALID_ARGUMENT"
  | "PERMISSION_DENIED"
  | "UNAUTHENTICATED"
  | "UNAVAILABLE"
  | "RESOURCE_EXHAUSTED"
  | "INTERNAL";

/**
 * A call that is refused: `code` is the gRPC status, `reason` a stable word for the audit log, the message what the caller
 * is told. It says nothing that the caller does not know already; the cause is for the log alone.
 */
export class Refusal extends Error {
  readonly code: number;
  readonly details: string;
  readonly reason: string;

  constructor(code: StatusName, reason: string, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = "Refusal";
    this.code = status[code];
    this.reason = reason;
    this.details = `${reason}: ${message}`;
  }
}

/** Any error as a refusal; what was not foreseen tells the caller nothing. */
export function asRefusal(error: unknown): Refusal {
  return error instanceof Refusal
    ? error
    : new Refusal("INTERNAL", "defect", "the operator failed; see its log", { cause: error });
}

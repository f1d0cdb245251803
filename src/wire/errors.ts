/** The errors of this room: bytes or messages that cannot be what they claim. */
import { TulleError } from "../mesh/index.ts";

export const WIRE_ERRORS = {
  "bad-message": "bytes are not a protobuf message of the expected type",
  "message-too-large": "a message is larger than 4 MiB",
  "bad-address": "an Address is neither a workload nor a service that can be used",
  "bad-settings": "Settings have no mode, or a range that is not a CIDR",
  "bad-trust-bundle": "a TrustBundle has no root",
} as const;

export type WireErrorCode = keyof typeof WIRE_ERRORS;

/** What another process sent and cannot be used; `code` is one of `WIRE_ERRORS`. */
export class WireError extends TulleError {
  declare readonly code: WireErrorCode;

  constructor(code: WireErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, options);
  }
}

/** What goes wrong in HTTP/2, with the number the peer is told and how far the damage reaches. */

/** RFC 9113 §7. */
export const ERROR_CODES = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

/** `protocol-error`, `enhance-your-calm`…; a number that RFC 9113 §7 does not name reads as `internal-error`. */
export function errorCodeName(code: number): string {
  return NAMES.get(code) ?? "internal-error";
}

const NAMES = new Map<number, string>(
  Object.entries(ERROR_CODES).map(([name, code]) => [code, name.toLowerCase().replaceAll("_", "-")]),
);

/**
 * How far it reaches (RFC 9113 §5.4): the whole connection, one stream, or only the call of the code that uses this
 * room (wrong use: nothing was sent, the connection is as it was).
 */
export type Http2ErrorScope = "connection" | "stream" | "call";

/**
 * Every error of this room. `code` is stable: for the scopes `connection` and `stream` the name of RFC 9113 §7 in kebab
 * case, for `call` one of `refused`, `wrong-role`, `wrong-state`, `bad-header`, `header-list-too-large`,
 * `over-consumed`, `bad-setting`. `errorCode` is the number that goes on the wire.
 */
export class Http2Error extends Error {
  readonly code: string;
  readonly errorCode: number;
  readonly scope: Http2ErrorScope;
  readonly hint: string | undefined;

  private constructor(scope: Http2ErrorScope, code: string, errorCode: number, message: string, hint?: string) {
    super(message);
    this.name = "Http2Error";
    this.scope = scope;
    this.code = code;
    this.errorCode = errorCode;
    this.hint = hint;
  }

  /** RFC 9113 §5.4.1: answered by GOAWAY and the end of the connection. */
  static connection(errorCode: number, message: string): Http2Error {
    return new Http2Error("connection", errorCodeName(errorCode), errorCode, message);
  }

  /** RFC 9113 §5.4.2: answered by RST_STREAM. */
  static stream(errorCode: number, message: string): Http2Error {
    return new Http2Error("stream", errorCodeName(errorCode), errorCode, message);
  }

  /** Wrong use of this room by the code above it. */
  static misuse(code: string, message: string, hint: string): Http2Error {
    return new Http2Error("call", code, ERROR_CODES.INTERNAL_ERROR, message, hint);
  }
}

/**
 * tunnel: HTTP/2 (RFC 9113) with HPACK (RFC 7541), client and server, over an abstract byte transport. It never opens a
 * socket, knows no TLS, identity or policy, and keeps no more of a stream's data than one output buffer.
 */
export { BUDGETS, type BudgetKind } from "./budgets.ts";
export { type ConnectionOptions, Http2Connection } from "./connection.ts";
export { ERROR_CODES, errorCodeName, Http2Error, type Http2ErrorScope } from "./errors.ts";
export type { ConnectionHandler, HeaderList, Http2Stream, StreamHandler } from "./handlers.ts";
export { type DecodedHeaders, type HeaderListLimits, HpackDecoder } from "./hpack-decoder.ts";
export { encodeHeaders, HpackEncoder } from "./hpack-encoder.ts";
export { DEFAULT_SETTINGS, type LocalSettings } from "./settings.ts";
export type { ByteTransport } from "./transport.ts";

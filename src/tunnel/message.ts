/** What a header list must be to count as a request, a response or trailers (RFC 9113 §8.1 to §8.5). */
import type { HeaderList } from "./handlers.ts";

/** A list that breaks a rule is malformed: a stream error PROTOCOL_ERROR (RFC 9113 §8.1.1). */
export type Verdict<Head> = { readonly malformed: string } | { readonly malformed: undefined; readonly head: Head };

export interface RequestHead {
  /** A tunnel (RFC 9113 §8.5): DATA is bytes of a connection, not content. */
  readonly connect: boolean;
  /** -1 when it does not say. */
  readonly contentLength: number;
}

export interface ResponseHead {
  readonly status: number;
  /** -1 when it does not say. */
  readonly contentLength: number;
}

/** RFC 9113 §8.2.2: these belong to one connection of HTTP/1.1 and mean smuggling here. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** RFC 9113 §8.3.1, and §8.5 for CONNECT. */
export function judgeRequest(headers: HeaderList): Verdict<RequestHead> {
  let method: string | undefined;
  let scheme: string | undefined;
  let path: string | undefined;
  let authority: string | undefined;
  let host: string | undefined;
  let contentLength = -1;
  let regular = false;
  for (const [name, value] of headers) {
    const why = fieldFault(name, value);
    if (why !== undefined) return { malformed: why };
    if (name.charCodeAt(0) !== COLON) {
      regular = true;
      if (name === "host") host = value;
      else if (name === "content-length") {
        const length = readContentLength(value, contentLength);
        if (length === undefined) return { malformed: "content-length is not one number (RFC 9110 §8.6)" };
        contentLength = length;
      }
      continue;
    }
    if (regular) return { malformed: `${name} follows a regular field (RFC 9113 §8.3)` };
    let before: string | undefined;
    if (name === ":method") {
      before = method;
      method = value;
    } else if (name === ":scheme") {
      before = scheme;
      scheme = value;
    } else if (name === ":path") {
      before = path;
      path = value;
    } else if (name === ":authority") {
      before = authority;
      authority = value;
    } else {
      return { malformed: `${JSON.stringify(name)} is no pseudo-header of a request (RFC 9113 §8.3)` };
    }
    if (before !== undefined) return { malformed: `${name} comes twice (RFC 9113 §8.3)` };
  }
  if (method === undefined || method === "") return { malformed: "it has no :method (RFC 9113 §8.3.1)" };
  if (method === "CONNECT") {
    if (scheme !== undefined || path !== undefined)
      return { malformed: "CONNECT has :scheme or :path (RFC 9113 §8.5)" };
    if (authority === undefined) return { malformed: "CONNECT has no :authority (RFC 9113 §8.5)" };
    return { malformed: undefined, head: { connect: true, contentLength: -1 } };
  }
  if (scheme === undefined || scheme === "") return { malformed: "it has no :scheme (RFC 9113 §8.3.1)" };
  if (path === undefined || path === "") return { malformed: "it has no :path (RFC 9113 §8.3.1)" };
  if (scheme === "http" || scheme === "https") {
    const asterisk = path === "*" && method === "OPTIONS";
    if (!path.startsWith("/") && !asterisk) return { malformed: ":path does not begin with / (RFC 9113 §8.3.1)" };
    if (authority?.includes("@")) return { malformed: ":authority holds user information (RFC 9113 §8.3.1)" };
  }
  if (host !== undefined && authority !== undefined && host !== authority) {
    return { malformed: "host differs from :authority (RFC 9113 §8.3.1)" };
  }
  return { malformed: undefined, head: { connect: false, contentLength } };
}

/** RFC 9113 §8.3.2. */
export function judgeResponse(headers: HeaderList): Verdict<ResponseHead> {
  let status: string | undefined;
  let contentLength = -1;
  let regular = false;
  for (const [name, value] of headers) {
    const why = fieldFault(name, value);
    if (why !== undefined) return { malformed: why };
    if (name.charCodeAt(0) !== COLON) {
      regular = true;
      if (name !== "content-length") continue;
      const length = readContentLength(value, contentLength);
      if (length === undefined) return { malformed: "content-length is not one number (RFC 9110 §8.6)" };
      contentLength = length;
      continue;
    }
    if (regular) return { malformed: `${name} follows a regular field (RFC 9113 §8.3)` };
    if (name !== ":status")
      return { malformed: `${JSON.stringify(name)} is no pseudo-header of a response (RFC 9113 §8.3)` };
    if (status !== undefined) return { malformed: ":status comes twice (RFC 9113 §8.3)" };
    status = value;
  }
  if (status === undefined || !/^[1-5][0-9][0-9]$/.test(status)) {
    return { malformed: "it has no :status of three digits (RFC 9113 §8.3.2)" };
  }
  if (status === "101") return { malformed: "101 does not exist in HTTP/2 (RFC 9113 §8.6)" };
  return { malformed: undefined, head: { status: Number(status), contentLength } };
}

/** RFC 9113 §8.1: regular fields only. Returns what is wrong, or undefined. */
export function trailersFault(headers: HeaderList): string | undefined {
  for (const [name, value] of headers) {
    const why = fieldFault(name, value);
    if (why !== undefined) return why;
    if (name.charCodeAt(0) === COLON) return `${name} is in trailers (RFC 9113 §8.1)`;
  }
  return undefined;
}

const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/** RFC 9113 §8.2.1 and §8.2.2. */
function fieldFault(name: string, value: string): string | undefined {
  if (name === "") return "a field has no name (RFC 9113 §8.2.1)";
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    const upper = code >= 0x41 && code <= 0x5a;
    if (code <= SPACE || upper || code >= 0x7f || (code === COLON && i > 0)) {
      return `the field name ${JSON.stringify(name)} holds a character that names do not have (RFC 9113 §8.2.1)`;
    }
  }
  const last = value.length - 1;
  for (let i = 0; i <= last; i++) {
    const code = value.charCodeAt(i);
    const edge = (i === 0 || i === last) && (code === SPACE || code === TAB);
    if (code === 0x00 || code === 0x0a || code === 0x0d || edge) {
      return `the value of ${name} holds a character that is not allowed there (RFC 9113 §8.2.1)`;
    }
  }
  if (CONNECTION_SPECIFIC.has(name)) return `${name} belongs to HTTP/1.1 connections (RFC 9113 §8.2.2)`;
  if (name === "te" && value.toLowerCase() !== "trailers") return `te is not "trailers" (RFC 9113 §8.2.2)`;
  return undefined;
}

/** Undefined when it is no number, too large to count, or another than `before` (-1: none before). */
function readContentLength(value: string, before: number): number | undefined {
  if (!/^[0-9]{1,15}$/.test(value)) return undefined;
  const length = Number(value);
  return before === -1 || before === length ? length : undefined;
}

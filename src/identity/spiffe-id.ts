/**
 * SPIFFE IDs and trust domain names, read character by character (SPIFFE-ID §2). A URL parser would lower-case,
 * percent-decode and remove dot segments first, so that two different texts became one identity.
 */
import { IdentityError, quoted } from "./errors.ts";

declare const trustDomainBrand: unique symbol;
/** A trust domain name: 1–255 characters of `[a-z0-9._-]`. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

declare const spiffeIdBrand: unique symbol;
/** `spiffe://<trust domain>` with an optional path, at most 2048 bytes, every byte as it was checked. */
export type SpiffeId = string & { readonly [spiffeIdBrand]: true };

/** What `spiffe://<td>/ns/<namespace>/sa/<service account>` says. */
export interface WorkloadIdentity {
  readonly trustDomain: TrustDomain;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SCHEME = "spiffe://";
const MAX_TRUST_DOMAIN = 255;
const MAX_SPIFFE_ID = 2048;

const SLASH = 0x2f;
const DOT = 0x2e;

/** Reads a trust domain name (SPIFFE-ID §2.1); throws `bad-trust-domain`. */
export function parseTrustDomain(text: string): TrustDomain {
  if (text.length === 0) throw badTrustDomain(text, "it is empty");
  if (text.length > MAX_TRUST_DOMAIN) throw badTrustDomain(text, `it is longer than ${MAX_TRUST_DOMAIN} bytes`);
  const bad = firstOutside(text, 0, text.length, isTrustDomainCharacter);
  if (bad >= 0) throw badTrustDomain(text, `the character at offset ${bad} is none of a-z, 0-9, dot, dash, underscore`);
  return text as TrustDomain;
}

/** Reads a SPIFFE ID, with or without a path (SPIFFE-ID §2); throws `bad-spiffe-id`. */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > MAX_SPIFFE_ID) throw badSpiffeId(text, `it is longer than ${MAX_SPIFFE_ID} bytes`);
  if (!text.startsWith(SCHEME)) throw badSpiffeId(text, `it does not start with ${SCHEME}`);
  const end = pathStart(text);
  const length = end - SCHEME.length;
  if (length === 0) throw badSpiffeId(text, "its trust domain is empty");
  if (length > MAX_TRUST_DOMAIN) throw badSpiffeId(text, `its trust domain is longer than ${MAX_TRUST_DOMAIN} bytes`);
  const bad = firstOutside(text, SCHEME.length, end, isTrustDomainCharacter);
  if (bad >= 0) throw badSpiffeId(text, `the character at offset ${bad} may not stand in a trust domain`);
  for (let at = end; at < text.length; ) at = checkSegment(text, at);
  return text as SpiffeId;
}

/** The identity of a Kubernetes service account in the form every mesh uses; throws `bad-workload-name`. */
export function workloadSpiffeId(trustDomain: TrustDomain, namespace: string, serviceAccount: string): SpiffeId {
  if (!isDnsLabel(namespace)) {
    throw new IdentityError("bad-workload-name", `${quoted(namespace)} is not a namespace name (a DNS-1123 label)`);
  }
  if (!isDnsSubdomain(serviceAccount)) {
    throw new IdentityError(
      "bad-workload-name",
      `${quoted(serviceAccount)} is not a service account name (a DNS-1123 subdomain)`,
    );
  }
  return `${SCHEME}${trustDomain}/ns/${namespace}/sa/${serviceAccount}` as SpiffeId;
}

/** Takes a workload's SPIFFE ID apart; undefined when its path is not `/ns/<namespace>/sa/<service account>`. */
export function readWorkloadSpiffeId(id: SpiffeId): WorkloadIdentity | undefined {
  const end = pathStart(id);
  const parts = id.slice(end).split("/");
  if (parts.length !== 5 || parts[1] !== "ns" || parts[3] !== "sa") return undefined;
  const namespace = parts[2] as string;
  const serviceAccount = parts[4] as string;
  if (!isDnsLabel(namespace) || !isDnsSubdomain(serviceAccount)) return undefined;
  return { trustDomain: trustDomainOf(id), namespace, serviceAccount };
}

/** The trust domain of an ID. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  return id.slice(SCHEME.length, pathStart(id)) as TrustDomain;
}

/** The ID of the trust domain itself, without a path: what signing certificates carry (X509-SVID §3.1). */
export function trustDomainId(trustDomain: TrustDomain): SpiffeId {
  return `${SCHEME}${trustDomain}` as SpiffeId;
}

/** True when the ID names something inside its trust domain, not the trust domain itself. */
export function hasPath(id: SpiffeId): boolean {
  return pathStart(id) < id.length;
}

/** DNS-1123 label: 1–63 of a-z, 0-9 and dash, no dash at an end. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/.test(text);
}

/** DNS-1123 subdomain: dot-joined labels, at most 253 characters (Kubernetes does not bound the single label here). */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && text.split(".").every((label) => /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/.test(label));
}

function pathStart(text: string): number {
  const slash = text.indexOf("/", SCHEME.length);
  return slash < 0 ? text.length : slash;
}

/** Checks the segment behind the slash at `slash` (SPIFFE-ID §2.2) and gives the offset of the next slash or the end. */
function checkSegment(text: string, slash: number): number {
  const start = slash + 1;
  let end = start;
  while (end < text.length && text.charCodeAt(end) !== SLASH) end++;
  if (end === start) {
    throw badSpiffeId(text, end === text.length ? "its path ends in a slash" : "its path has an empty segment");
  }
  const bad = firstOutside(text, start, end, isPathCharacter);
  if (bad >= 0) throw badSpiffeId(text, `the character at offset ${bad} may not stand in a path`);
  const dots = end - start;
  if (dots <= 2 && text.charCodeAt(start) === DOT && text.charCodeAt(end - 1) === DOT) {
    throw badSpiffeId(text, "its path has a dot segment");
  }
  return end;
}

function firstOutside(text: string, from: number, to: number, inside: (code: number) => boolean): number {
  for (let at = from; at < to; at++) if (!inside(text.charCodeAt(at))) return at;
  return -1;
}

function isTrustDomainCharacter(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === DOT || code === 0x5f
  );
}

function isPathCharacter(code: number): boolean {
  return isTrustDomainCharacter(code) || (code >= 0x41 && code <= 0x5a);
}

function badTrustDomain(text: string, why: string): IdentityError {
  return new IdentityError("bad-trust-domain", `${quoted(text)} is not a trust domain: ${why}`, {
    hint: "a trust domain looks like cluster.local",
  });
}

function badSpiffeId(text: string, why: string): IdentityError {
  return new IdentityError("bad-spiffe-id", `${quoted(text)} is not a SPIFFE ID: ${why}`, {
    hint: "a SPIFFE ID looks like spiffe://cluster.local/ns/default/sa/web",
  });
}

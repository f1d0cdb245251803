/** The judge of every certificate that the authority makes: it re-parses the bytes and believes nothing of the maker. */
import type { Ip } from "../mesh/index.ts";
import { type Certificate, isSignedBy, parseCertificate } from "./certificate.ts";
import { sameBytes, toHex } from "./der.ts";
import { IdentityError } from "./errors.ts";
import { OID } from "./oids.ts";
import { keyIdOf } from "./public-key.ts";
import { type SpiffeId, trustDomainId, trustDomainOf } from "./spiffe-id.ts";
import { leafId } from "./svid.ts";

/** What was ordered. */
export interface Expectation {
  readonly kind: "leaf" | "intermediate" | "root";
  /** The leaf's SPIFFE ID, or any of the trust domain for a signing certificate. */
  readonly id: SpiffeId;
  readonly issuer: Certificate | "self";
  readonly spki: Uint8Array;
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly Ip[];
}

/** Serials hold at least 64 random bits (CA/Browser Forum BR §7.1); shorter than that, something is broken. */
const MIN_SERIAL_DIGITS = 16;
/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_DIGITS = 40;
const EMPTY_NAME_LENGTH = 2;

/** Gives the parsed certificate, or throws `issued-unfit` with the rule that it breaks (controlplane profile, RFC 5280). */
export function checkIssued(der: Uint8Array, expected: Expectation): Certificate {
  const certificate = parsed(der, expected);
  const issuer = expected.issuer === "self" ? certificate : expected.issuer;
  demand(sameBytes(certificate.spki, expected.spki), "it holds another key");
  demand(sameBytes(certificate.issuer, issuer.subject), "it names another issuer");
  demand(isSignedBy(certificate, issuer), "its signature does not verify");
  demand(certificate.subjectKeyId === toHex(keyIdOf(certificate.spki)), "its subject key identifier is not its key's");
  demand(certificate.authorityKeyId === issuer.subjectKeyId, "its authority key identifier is not its issuer's");
  demand(certificate.serial.length >= MIN_SERIAL_DIGITS, "its serial is shorter than 64 bits");
  demand(certificate.serial.length <= MAX_SERIAL_DIGITS, "its serial is longer than 20 bytes");
  demand(certificate.notBefore < certificate.notAfter, "its validity is empty");
  demand(certificate.notAfter <= issuer.notAfter, "it outlives its issuer");
  demand(certificate.notBefore >= issuer.notBefore, "it is older than its issuer");
  demand(certificate.unknownCritical.length === 0, "it has a critical extension outside the profile");
  demand(certificate.otherSans === 0, "it has an alternative name of a kind that the profile does not know");
  if (expected.kind === "leaf") checkLeaf(certificate, expected);
  else checkSigner(certificate, expected);
  return certificate;
}

function parsed(der: Uint8Array, expected: Expectation): Certificate {
  try {
    const certificate = parseCertificate(der);
    if (expected.kind === "leaf") demand(leafId(certificate) === expected.id, "it names another SPIFFE ID");
    return certificate;
  } catch (cause) {
    if (cause instanceof IdentityError && cause.code === "issued-unfit") throw cause;
    throw unfit(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function checkLeaf(certificate: Certificate, expected: Expectation): void {
  demand(certificate.subject.length === EMPTY_NAME_LENGTH, "a leaf's subject must be empty");
  demand(certificate.sanCritical, "the alternative name must be critical (RFC 5280 §4.1.2.6)");
  demand(certificate.keyUsage?.join() === "digitalSignature", "a leaf's keyUsage is digitalSignature alone");
  demand(
    certificate.extendedKeyUsages?.join() === `${OID.serverAuth},${OID.clientAuth}`,
    "extendedKeyUsage is not both",
  );
  demand(certificate.dnsSans.join() === (expected.dnsNames ?? []).join(), "it has other DNS names than ordered");
  demand(certificate.ipSans.join() === (expected.ips ?? []).join(), "it has other addresses than ordered");
}

function checkSigner(certificate: Certificate, expected: Expectation): void {
  demand(certificate.isCa, "a signer must be a CA");
  demand(certificate.keyUsageCritical, "a signer's keyUsage must be critical");
  demand(certificate.keyUsage?.join() === "keyCertSign,cRLSign", "a signer's keyUsage is keyCertSign and cRLSign");
  demand(
    certificate.pathLength === (expected.kind === "root" ? undefined : 0),
    "a signer's path length is not its kind's",
  );
  demand(
    certificate.uriSans.join() === trustDomainId(trustDomainOf(expected.id)),
    "a signer's URI is its trust domain",
  );
  demand(certificate.subject.length > EMPTY_NAME_LENGTH, "a signer needs a subject");
}

function demand(holds: boolean, rule: string): asserts holds {
  if (!holds) throw unfit(rule);
}

function unfit(rule: string, cause?: unknown): IdentityError {
  return new IdentityError("issued-unfit", `a certificate that we made was not handed out: ${rule}`, { cause });
}

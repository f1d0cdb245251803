/** Path validation of our profile (RFC 5280 §6): a leaf, its intermediates, a root of the bundle, at one moment. */
import type { Millis } from "../mesh/index.ts";
import type { TrustBundle } from "./bundle.ts";
import { type Certificate, isSignedBy, parseCertificate } from "./certificate.ts";
import { sameBytes } from "./der.ts";
import { IdentityError, quoted } from "./errors.ts";
import { OID } from "./oids.ts";
import { type SpiffeId, trustDomainId, trustDomainOf } from "./spiffe-id.ts";
import { leafId } from "./svid.ts";

/** Longest chain that is looked at, a root that was sent along counted. */
const MAX_LENGTH = 5;

/**
 * The leaf's SPIFFE ID when the chain (leaf first, root left out or last) is good. Throws an IdentityError whose code
 * says which rule failed; `reasonOf` turns it into the word of the closed list.
 */
export function verifyChain(
  chain: readonly Uint8Array[],
  bundle: TrustBundle,
  now: Millis,
): { readonly id: SpiffeId; readonly leaf: Certificate } {
  if (chain.length === 0 || chain.length > MAX_LENGTH) {
    throw new IdentityError("chain-length", `a chain has 1 to ${MAX_LENGTH} certificates, not ${chain.length}`);
  }
  const certificates = chain.map(parseCertificate);
  const leaf = certificates[0] as Certificate;
  const id = leafId(leaf);
  checkUsable(leaf, now);
  let current = leaf;
  for (let below = 0; ; below++) {
    const root = bundle.certificates.find(
      (candidate) => namesIssuer(current, candidate) && isSignedBy(current, candidate),
    );
    if (root !== undefined) {
      checkIssuer(root, below, id);
      checkUsable(root, now);
      return { id, leaf };
    }
    const issuer = certificates[below + 1];
    if (issuer === undefined)
      throw new IdentityError("untrusted", "no root of the trust bundle vouches for the certificate");
    checkLink(current, issuer);
    checkIssuer(issuer, below, id);
    checkUsable(issuer, now);
    current = issuer;
  }
}

/** Names and key identifiers agree, so that this may be the issuer. */
function namesIssuer(child: Certificate, issuer: Certificate): boolean {
  return sameBytes(child.issuer, issuer.subject) && keyIdsAgree(child, issuer);
}

function keyIdsAgree(child: Certificate, issuer: Certificate): boolean {
  const either = child.authorityKeyId === undefined || issuer.subjectKeyId === undefined;
  return either || child.authorityKeyId === issuer.subjectKeyId;
}

function checkLink(child: Certificate, issuer: Certificate): void {
  if (!sameBytes(child.issuer, issuer.subject)) {
    throw new IdentityError("chain-issuer-name", "a certificate of the chain names another issuer than the next one");
  }
  if (!keyIdsAgree(child, issuer)) {
    throw new IdentityError("chain-key-id", "a certificate of the chain names another issuer key than the next one's");
  }
  if (child.signatureAlgorithm !== OID.ecdsaWithSha256) {
    throw new IdentityError("chain-signature-algorithm", `signed with ${quoted(child.signatureAlgorithm)}`);
  }
  if (!isSignedBy(child, issuer)) {
    throw new IdentityError("chain-signature", "a certificate of the chain was not signed by the next one's key");
  }
}

/** `below`: CAs between this issuer and the leaf (RFC 5280 §4.2.1.9). */
function checkIssuer(issuer: Certificate, below: number, leaf: SpiffeId): void {
  if (!issuer.isCa) throw new IdentityError("chain-not-ca", "an issuer of the chain is not a CA");
  if (issuer.keyUsage !== undefined && !issuer.keyUsage.includes("keyCertSign")) {
    throw new IdentityError("chain-issuer-usage", "an issuer of the chain may not sign certificates");
  }
  if (issuer.pathLength !== undefined && issuer.pathLength < below) {
    throw new IdentityError(
      "chain-path-length",
      `an issuer allows ${issuer.pathLength} CAs below it, there are ${below}`,
    );
  }
  const domain = trustDomainId(trustDomainOf(leaf));
  if (issuer.uriSans.some((uri) => uri !== domain)) {
    throw new IdentityError("chain-trust-domain", `an issuer of the chain is not of ${domain}`);
  }
}

function checkUsable(certificate: Certificate, now: Millis): void {
  const [unknown] = certificate.unknownCritical;
  if (unknown !== undefined) {
    throw new IdentityError("chain-critical-extension", `a certificate has the critical extension ${unknown}`);
  }
  if (now < certificate.notBefore) {
    throw new IdentityError("not-yet-valid", `not valid before ${new Date(certificate.notBefore).toISOString()}`);
  }
  if (now > certificate.notAfter) {
    throw new IdentityError("expired", `expired at ${new Date(certificate.notAfter).toISOString()}`);
  }
}

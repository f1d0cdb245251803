/** The rules of a leaf X509-SVID (X509-SVID §2–§5), the strict reading where the standard leaves one. */
import { type Certificate, parseCertificate } from "./certificate.ts";
import { IdentityError, type IdentityErrorCode, quoted } from "./errors.ts";
import { OID } from "./oids.ts";
import { hasPath, parseSpiffeId, type SpiffeId } from "./spiffe-id.ts";

/** Length of `SEQUENCE {}`: a subject without any attribute. */
const EMPTY_NAME_LENGTH = 2;

/** Reads a leaf and its SPIFFE ID; says nothing of who signed it. Throws IdentityError `svid-…` or `certificate-…`. */
export function readSvid(der: Uint8Array): { readonly id: SpiffeId; readonly certificate: Certificate } {
  const certificate = parseCertificate(der);
  return { id: leafId(certificate), certificate };
}

/** The SPIFFE ID of a parsed leaf, after every rule of a leaf. */
export function leafId(certificate: Certificate): SpiffeId {
  if (certificate.isCa) throw refuse("svid-is-ca", "it is a CA's certificate");
  const usage = certificate.keyUsage;
  if (usage === undefined || !certificate.keyUsageCritical)
    throw refuse("svid-no-key-usage", "it has no critical keyUsage");
  if (!usage.includes("digitalSignature")) throw refuse("svid-no-digital-signature", "keyUsage lacks digitalSignature");
  if (usage.includes("keyCertSign") || usage.includes("cRLSign")) {
    throw refuse("svid-signing-usage", "its key may sign certificates or revocation lists");
  }
  const extended = certificate.extendedKeyUsages;
  if (extended !== undefined && !(extended.includes(OID.serverAuth) && extended.includes(OID.clientAuth))) {
    throw refuse("svid-extended-key-usage", "it is not for both serverAuth and clientAuth");
  }
  const [uri, ...more] = certificate.uriSans;
  if (uri === undefined || more.length > 0) {
    throw refuse("svid-uri-count", `it has ${certificate.uriSans.length} URI names, it must have one`);
  }
  if (certificate.subject.length === EMPTY_NAME_LENGTH && !certificate.sanCritical) {
    throw refuse("svid-san-not-critical", "its subject is empty and its alternative name not critical");
  }
  const id = spiffeIdOf(uri);
  if (!hasPath(id)) throw refuse("svid-root-path", `${id} names a trust domain and no workload`);
  return id;
}

function spiffeIdOf(uri: string): SpiffeId {
  try {
    return parseSpiffeId(uri);
  } catch (cause) {
    throw new IdentityError("svid-spiffe-id", `not an X509-SVID: its URI name ${quoted(uri)} is not a SPIFFE ID`, {
      cause,
    });
  }
}

function refuse(code: IdentityErrorCode, why: string): IdentityError {
  return new IdentityError(code, `not an X509-SVID: ${why}`);
}

/** The errors of this room: each code once, with what it means. */
import { type ExitCode, type Reason, TulleError } from "../mesh/index.ts";

export const IDENTITY_ERRORS = {
  "bad-trust-domain": "a text is not a SPIFFE trust domain name",
  "bad-spiffe-id": "a text is not a SPIFFE ID",
  "bad-workload-name": "a namespace or service account is not a Kubernetes name",
  "bad-der": "bytes are not strict DER of the expected shape",
  "bad-pem": "a text is not PEM of the expected label",
  "bad-time": "a time is outside what a certificate can say",
  "bad-key": "a public key is not an uncompressed P-256 point",

  "csr-too-large": "the request is larger than 4 KiB",
  "csr-malformed": "the request is not a DER CertificationRequest",
  "csr-trailing-bytes": "bytes follow the request",
  "csr-version": "the request's version is not v1 (0)",
  "csr-subject": "the request's subject is not empty",
  "csr-key-type": "the request's key is not an uncompressed P-256 key",
  "csr-key-point": "the request's key is not a point of the curve",
  "csr-signature-algorithm": "the request is not signed with ECDSA and SHA-256",
  "csr-signature": "the request's signature does not verify with its own key",
  "csr-attribute": "the request has an attribute other than one extensionRequest",
  "csr-extension": "the request asks for an extension that the profile does not take from requests",
  "csr-extension-repeated": "the request asks twice for one extension",
  "csr-key-usage": "the request asks for another key usage than digitalSignature",
  "csr-extended-key-usage": "the request asks for other extended key usages than serverAuth and clientAuth",
  "csr-san-kind": "the request asks for an alternative name that is not a URI",
  "csr-san-count": "the request asks for several URI names",
  "csr-san-mismatch": "the request asks for another SPIFFE ID than the caller's",

  "certificate-too-large": "a certificate is larger than 16 KiB",
  "certificate-malformed": "bytes are not a DER X.509 v3 certificate",

  "svid-uri-count": "the certificate does not have exactly one URI name",
  "svid-spiffe-id": "the certificate's URI name is not a SPIFFE ID",
  "svid-root-path": "the certificate's SPIFFE ID has no path, so it names a trust domain and no workload",
  "svid-is-ca": "the certificate is a CA's, not a workload's",
  "svid-no-key-usage": "the certificate has no critical keyUsage",
  "svid-no-digital-signature": "the certificate's key may not make digital signatures",
  "svid-signing-usage": "the certificate's key may sign certificates or revocation lists",
  "svid-extended-key-usage": "the certificate is not for both serverAuth and clientAuth",
  "svid-san-not-critical": "the subject is empty and the alternative name is not critical",

  "chain-length": "a chain has no certificate or too many",
  "chain-issuer-name": "a certificate names another issuer than the next certificate's subject",
  "chain-key-id": "a certificate names another issuer key than the next certificate's",
  "chain-signature-algorithm": "a certificate is not signed with ECDSA P-256 and SHA-256",
  "chain-signature": "a certificate's signature does not verify with its issuer's key",
  "chain-not-ca": "an issuer is not a CA",
  "chain-issuer-usage": "an issuer's key may not sign certificates",
  "chain-path-length": "more CAs follow an issuer than it allows",
  "chain-trust-domain": "an issuer belongs to another trust domain than the leaf",
  "chain-critical-extension": "a certificate has a critical extension that we cannot honour",
  untrusted: "no root of the trust bundle vouches for the certificate",
  expired: "a certificate of the chain has expired",
  "not-yet-valid": "a certificate of the chain is not valid yet",

  "bundle-root": "an element of a trust bundle is not a usable root certificate",
  "bundle-sequence": "a trust bundle's sequence is not a whole number from 0 on",

  "issuer-expired": "the authority's own certificate has expired, so it cannot sign",
  "issuer-not-yet-valid": "the authority's own certificate is not valid yet, so it cannot sign",
  "foreign-trust-domain": "a SPIFFE ID belongs to another trust domain than the authority",
  "bad-pod-uid": "a pod UID is empty, too long or not of Kubernetes' alphabet",
  "bad-lifetime": "a lifetime is not a number of at least one second",
  "bad-server-name": "a server certificate's DNS name or address cannot be certified",
  "ca-state-unreadable": "a stored authority is cut off or no authority at all",
  "ca-state-version": "a stored authority is of a format that this version does not know",
  "ca-state-edited": "a stored authority was changed after it was written, or its parts do not fit",
  "ca-state-foreign": "a stored authority is of another trust domain",
  "issued-unfit": "the checker refused what the authority made; it was not handed out",
} as const;

export type IdentityErrorCode = keyof typeof IDENTITY_ERRORS;

/** What the user typed, as opposed to what a peer or the machine sent: exit code 2. */
const INPUT_CODES: ReadonlySet<IdentityErrorCode> = new Set(["bad-trust-domain", "bad-spiffe-id", "bad-workload-name"]);

/** Any refusal or failure of this room; `code` is one of `IDENTITY_ERRORS`. */
export class IdentityError extends TulleError {
  declare readonly code: IdentityErrorCode;

  constructor(
    code: IdentityErrorCode,
    message: string,
    options: { hint?: string; exitCode?: ExitCode; cause?: unknown } = {},
  ) {
    super(code, message, { exitCode: INPUT_CODES.has(code) ? 2 : 1, ...options });
  }
}

/** The word of the closed list with which a peer is refused whose certificate failed with this error. */
export function reasonOf(error: IdentityError): Reason {
  return error.code === "expired" || error.code === "not-yet-valid" ? "refused-expired" : "refused-untrusted";
}

/** Text of strangers for a message: quoted, control characters escaped, cut at 80 characters. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/**
 * identity: who is who. SPIFFE IDs, keys, certificates and requests in DER, trust bundle, authority and its judge.
 * It never opens a socket or a file and never reads the machine's clock: time and randomness are passed in.
 */
export {
  Authority,
  type AuthorityOptions,
  BACKDATE,
  DEFAULT_LEAF_LIFETIME,
  type IssuedCertificate,
} from "./authority.ts";
export { TrustBundle } from "./bundle.ts";
export { type Certificate, parseCertificate } from "./certificate.ts";
export { verifyChain } from "./chain.ts";
export { checkIssued, type Expectation } from "./check-issued.ts";
export { createCsr, readCsr } from "./csr.ts";
export type { Der } from "./der.ts";
export { IDENTITY_ERRORS, IdentityError, type IdentityErrorCode, reasonOf } from "./errors.ts";
export { KeyPair } from "./key-pair.ts";
export { pemDecode, pemEncode } from "./pem.ts";
export {
  parseSpiffeId,
  parseTrustDomain,
  readWorkloadSpiffeId,
  type SpiffeId,
  type TrustDomain,
  trustDomainId,
  trustDomainOf,
  workloadSpiffeId,
} from "./spiffe-id.ts";
export { readSvid } from "./svid.ts";

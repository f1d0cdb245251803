/** X.509 v3 certificates, read strictly into typed values (RFC 5280 §4). */
import type { Ip, Millis } from "../mesh/index.ts";
import { readTime } from "./asn1-time.ts";
import { type Der, TAG, toHex } from "./der.ts";
import { badDer, DerReader } from "./der-reader.ts";
import { IdentityError } from "./errors.ts";
import { type ExtensionValues, RepeatedExtension, readExtensions } from "./extensions.ts";
import { OID } from "./oids.ts";
import type { KeyUsage } from "./profile.ts";
import { importPublicKey, isP256Spki, signatureHolds } from "./public-key.ts";

/** What a certificate says. Nothing of it was checked but its form. */
export interface Certificate {
  /** The whole certificate. */
  readonly der: Der;
  /** The part that is signed. */
  readonly tbs: Der;
  /** Dotted identifier of the signature algorithm. */
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  /** Lower-case hex of the magnitude, two digits a byte. */
  readonly serial: string;
  readonly issuer: Der;
  readonly subject: Der;
  readonly notBefore: Millis;
  readonly notAfter: Millis;
  readonly spki: Der;
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly ipSans: readonly Ip[];
  /** Alternative names of other kinds. */
  readonly otherSans: number;
  readonly sanCritical: boolean;
  readonly isCa: boolean;
  readonly pathLength: number | undefined;
  /** Undefined when the extension is absent. */
  readonly keyUsage: readonly KeyUsage[] | undefined;
  readonly keyUsageCritical: boolean;
  /** Dotted identifiers; undefined when the extension is absent. */
  readonly extendedKeyUsages: readonly string[] | undefined;
  /** Hex. */
  readonly subjectKeyId: string | undefined;
  /** Hex. */
  readonly authorityKeyId: string | undefined;
  /** Critical extensions that we do not know: a verifier refuses the certificate (RFC 5280 §4.2). */
  readonly unknownCritical: readonly string[];
}

const MAX_SIZE = 16 * 1024;
/** RFC 5280 §4.1.2.2; one more for the sign octet. */
const MAX_SERIAL = 21;

/** Reads one certificate. Throws `certificate-too-large`, `certificate-malformed` and nothing else on hostile bytes. */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_SIZE) {
    throw new IdentityError("certificate-too-large", `a certificate of ${bytes.length} bytes: at most ${MAX_SIZE}`);
  }
  try {
    return readCertificate(bytes);
  } catch (cause) {
    if (!(cause instanceof IdentityError || cause instanceof RepeatedExtension)) throw cause;
    throw new IdentityError("certificate-malformed", `not a usable certificate: ${cause.message}`, { cause });
  }
}

/** True when `issuer`'s key made the certificate's signature. Never throws. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (certificate.signatureAlgorithm !== OID.ecdsaWithSha256 || !isP256Spki(issuer.spki)) return false;
  try {
    return signatureHolds(importPublicKey(issuer.spki), certificate.tbs, certificate.signature);
  } catch {
    return false;
  }
}

function readCertificate(bytes: Uint8Array): Certificate {
  const outer = new DerReader(bytes);
  const body = outer.enter(TAG.sequence);
  outer.finish();
  const tbs = body.whole(TAG.sequence);
  const algorithm = body.whole(TAG.sequence);
  const signature = body.wholeBytes();
  body.finish();

  const reader = new DerReader(tbs).enter(TAG.sequence);
  const version = reader.enterIf(0xa0);
  if (version === undefined || version.smallInteger() !== 2) throw badDer("a certificate of another version than 3");
  version.finish();
  const serial = reader.integer();
  if (serial.length > MAX_SERIAL || (serial[0] as number) >= 0x80)
    throw badDer("a serial that is negative or too long");
  const innerAlgorithm = reader.whole(TAG.sequence);
  if (toHex(innerAlgorithm) !== toHex(algorithm)) throw badDer("two signature algorithms (RFC 5280 §4.1.1.2)");
  const issuer = reader.whole(TAG.sequence);
  const validity = reader.enter(TAG.sequence);
  const notBefore = readTime(validity);
  const notAfter = readTime(validity);
  validity.finish();
  const subject = reader.whole(TAG.sequence);
  const spki = reader.whole(TAG.sequence);
  const extensions = readCertificateExtensions(reader);
  reader.finish();
  return {
    der: bytes as Der,
    tbs,
    signatureAlgorithm: new DerReader(algorithm).enter(TAG.sequence).oid(),
    signature,
    serial: toHex(serial[0] === 0 && serial.length > 1 ? serial.subarray(1) : serial),
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    ...extensions,
  };
}

function readCertificateExtensions(reader: DerReader): Omit<ExtensionValues, "seen"> {
  const wrapper = reader.enterIf(0xa3);
  const list = wrapper?.enter(TAG.sequence);
  wrapper?.finish();
  const { seen: _, ...values } = readExtensions(list);
  return values;
}

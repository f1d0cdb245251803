/**
 * What an authority must not forget, as one text: so that a store can write it at once or not at all, and a reader tells
 * whole from cut or edited. It holds private keys: it goes into the CA store and nowhere else.
 */
import { createHash } from "node:crypto";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { checkIssued } from "./check-issued.ts";
import { IdentityError } from "./errors.ts";
import { KeyPair } from "./key-pair.ts";
import { pemDecode, pemEncode } from "./pem.ts";
import { parseTrustDomain, type TrustDomain, trustDomainId } from "./spiffe-id.ts";

/** A key that signs certificates, and the certificate that says so. */
export interface Signer {
  readonly key: KeyPair;
  readonly certificate: Certificate;
}

export interface AuthorityState {
  readonly trustDomain: TrustDomain;
  /** Sequence of the trust bundle. */
  readonly sequence: number;
  readonly root: Signer;
  readonly intermediate: Signer;
  /** Key of the HMAC in serial numbers. */
  readonly serialKey: Uint8Array;
}

const FORMAT = 1;
const SERIAL_KEY_BYTES = 32;
/** A state of our own has 3 KiB. */
const MAX_TEXT = 256 * 1024;

interface StoredSigner {
  readonly certificate: string;
  readonly key: string;
}

interface Stored {
  readonly format: number;
  readonly trustDomain: string;
  readonly sequence: number;
  readonly root: StoredSigner;
  readonly intermediate: StoredSigner;
  readonly serialKey: string;
}

/** JSON with a digest of its content. */
export function writeAuthorityState(state: AuthorityState): string {
  const stored: Stored = {
    format: FORMAT,
    trustDomain: state.trustDomain,
    sequence: state.sequence,
    root: writeSigner(state.root),
    intermediate: writeSigner(state.intermediate),
    serialKey: Buffer.from(state.serialKey).toString("base64"),
  };
  return `${JSON.stringify({ ...stored, digest: digestOf(stored) }, null, 2)}\n`;
}

/**
 * Reads and judges a stored state: its digest, that each key belongs to its certificate, and that the intermediate comes
 * from the root. Throws `ca-state-unreadable` (cut off, no state), `ca-state-version`, `ca-state-edited` or
 * `ca-state-foreign` (of another trust domain); no message holds a part of a key. Expiry is not judged here.
 */
export function readAuthorityState(text: string, trustDomain: TrustDomain): AuthorityState {
  const { digest, ...stored } = parse(text);
  if (stored.format !== FORMAT) {
    throw stateError("ca-state-version", `its format is ${String(stored.format)}; this version reads ${FORMAT}`);
  }
  if (!isStored(stored) || digest !== digestOf(stored)) {
    throw stateError("ca-state-edited", "its digest does not fit its content");
  }
  if (stored.trustDomain !== trustDomain) {
    throw stateError("ca-state-foreign", `it is of the trust domain ${stored.trustDomain}, not of ${trustDomain}`);
  }
  try {
    const id = trustDomainId(parseTrustDomain(stored.trustDomain));
    const root = readSigner(stored.root);
    checkIssued(root.certificate.der, { kind: "root", id, issuer: "self", spki: root.key.spki });
    const intermediate = readSigner(stored.intermediate);
    const spki = intermediate.key.spki;
    checkIssued(intermediate.certificate.der, { kind: "intermediate", id, issuer: root.certificate, spki });
    const serialKey = new Uint8Array(Buffer.from(stored.serialKey, "base64"));
    if (serialKey.length !== SERIAL_KEY_BYTES) throw new Error("the key of the serial numbers has another length");
    return { trustDomain, sequence: stored.sequence, root, intermediate, serialKey };
  } catch (cause) {
    throw stateError("ca-state-edited", cause instanceof Error ? cause.message : "a part of it is wrong");
  }
}

function writeSigner({ key, certificate }: Signer): StoredSigner {
  return { certificate: pemEncode("CERTIFICATE", certificate.der), key: key.privateKeyPem() };
}

function readSigner(stored: StoredSigner): Signer {
  const [der, ...more] = pemDecode("CERTIFICATE", stored.certificate);
  if (der === undefined || more.length > 0) throw new Error("a signer has not exactly one certificate");
  return { key: KeyPair.fromStore(stored.key), certificate: parseCertificate(der) };
}

function parse(text: string): Readonly<Record<string, unknown>> {
  if (text.length > MAX_TEXT) throw stateError("ca-state-unreadable", "it is larger than any state");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw stateError("ca-state-unreadable", "it is not the JSON that was written; it may be cut off");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw stateError("ca-state-unreadable", "it is no state of an authority");
  }
  return value as Readonly<Record<string, unknown>>;
}

function isStored(value: Readonly<Record<string, unknown>>): value is Readonly<Record<string, unknown>> & Stored {
  const signer = (one: unknown): boolean =>
    typeof one === "object" &&
    one !== null &&
    "certificate" in one &&
    typeof one.certificate === "string" &&
    "key" in one &&
    typeof one.key === "string";
  const { trustDomain, sequence, serialKey, root, intermediate } = value;
  return (
    typeof trustDomain === "string" &&
    Number.isSafeInteger(sequence) &&
    typeof serialKey === "string" &&
    signer(root) &&
    signer(intermediate)
  );
}

function digestOf(stored: Readonly<Record<string, unknown>> | Stored): string {
  return createHash("sha256").update(JSON.stringify(stored)).digest("hex");
}

function stateError(
  code: "ca-state-unreadable" | "ca-state-version" | "ca-state-edited" | "ca-state-foreign",
  why: string,
): IdentityError {
  return new IdentityError(code, `the stored authority cannot be used: ${why}`, {
    hint:
      "Nothing is signed with it, and no second authority is made. Restore the store from a backup; " +
      "only if the mesh's trust may be lost, delete it, and a new authority is made that no running proxy believes.",
  });
}

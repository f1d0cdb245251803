/** Certificate requests (PKCS #10, RFC 2986): made by a proxy for its own key, read by the issuer with every check. */
import { type Der, TAG } from "./der.ts";
import { DerReader } from "./der-reader.ts";
import { element, explicit, oid, sequence, unsignedInteger } from "./der-writer.ts";
import { IdentityError, type IdentityErrorCode, quoted } from "./errors.ts";
import { type ExtensionValues, RepeatedExtension, readExtensions } from "./extensions.ts";
import type { KeyPair } from "./key-pair.ts";
import { OID } from "./oids.ts";
import { altNamesExtension, EMPTY_NAME, signed } from "./profile.ts";
import { importPublicKey, isP256Spki, signatureHolds } from "./public-key.ts";
import type { SpiffeId } from "./spiffe-id.ts";

/** Requests larger than this are refused unread; ours have about 250 bytes. */
const MAX_SIZE = 4096;
const VERSION_1 = unsignedInteger(Uint8Array.of(0));

/** A request with an empty subject and one URI name, signed by its own key. */
export function createCsr(key: KeyPair, id: SpiffeId): Der {
  const extensions = sequence(altNamesExtension({ uris: [id] }, true));
  const attribute = sequence(oid(OID.extensionRequest), element(TAG.set, extensions));
  const info = sequence(VERSION_1, EMPTY_NAME, key.spki, explicit(0, attribute));
  return signed(info, key.sign(info));
}

/**
 * Reads a request that must be for `expected` and for nothing more. The caller takes the key from it, never a name.
 * Throws an IdentityError `csr-…`, one code a check, and nothing else on hostile bytes.
 */
export function readCsr(der: Uint8Array, expected: SpiffeId): { readonly spki: Der } {
  if (der.length > MAX_SIZE) throw refuse("csr-too-large", `it has ${der.length} bytes, at most ${MAX_SIZE} are read`);
  try {
    return check(der, expected);
  } catch (cause) {
    if (cause instanceof RepeatedExtension) throw refuse("csr-extension-repeated", cause.message);
    if (cause instanceof IdentityError && cause.code === "bad-der") throw refuse("csr-malformed", cause.message);
    throw cause;
  }
}

function check(der: Uint8Array, expected: SpiffeId): { readonly spki: Der } {
  const outer = new DerReader(der);
  const body = outer.enter(TAG.sequence);
  if (!outer.done) throw refuse("csr-trailing-bytes", "bytes follow its end");
  const info = body.whole(TAG.sequence);
  const algorithm = body.enter(TAG.sequence);
  if (algorithm.oid() !== OID.ecdsaWithSha256 || !algorithm.done) {
    throw refuse("csr-signature-algorithm", "it is not signed with ecdsa-with-SHA256");
  }
  const signature = body.wholeBytes();
  body.finish();

  const reader = new DerReader(info).enter(TAG.sequence);
  if (reader.smallInteger() !== 0) throw refuse("csr-version", "its version is not v1");
  if (!reader.enter(TAG.sequence).done) throw refuse("csr-subject", "its subject is not empty");
  const spki = reader.whole(TAG.sequence);
  const attributes = reader.enter(0xa0);
  reader.finish();

  const key = keyOf(spki);
  checkAttributes(attributes, expected);
  if (!signatureHolds(key, info, signature)) throw refuse("csr-signature", "its own key did not sign it");
  return { spki: spki.slice() as Der };
}

function keyOf(spki: Der): ReturnType<typeof importPublicKey> {
  if (!isP256Spki(spki)) throw refuse("csr-key-type", "its key is not an uncompressed P-256 key");
  try {
    return importPublicKey(spki);
  } catch {
    throw refuse("csr-key-point", "its key is not a point of P-256");
  }
}

/** At most one attribute, an extensionRequest with one value; no attribute at all asks for nothing, which is fine. */
function checkAttributes(attributes: DerReader, expected: SpiffeId): void {
  if (attributes.done) return;
  const attribute = attributes.enter(TAG.sequence);
  const id = attribute.oid();
  if (id !== OID.extensionRequest) throw refuse("csr-attribute", `it has the attribute ${id}`);
  if (!attributes.done) throw refuse("csr-attribute", "it has several attributes");
  const values = attribute.enter(TAG.set);
  attribute.finish();
  const list = values.enter(TAG.sequence);
  if (!values.done) throw refuse("csr-attribute", "its extensionRequest has several values");
  checkAsked(readExtensions(list), expected);
}

function checkAsked(asked: ExtensionValues, expected: SpiffeId): void {
  for (const id of asked.seen) checkExtension(id, asked);
  if (!asked.seen.includes(OID.subjectAltName)) return;
  if (asked.otherSans + asked.dnsSans.length + asked.ipSans.length > 0) {
    throw refuse("csr-san-kind", "it asks for an alternative name that is not a URI");
  }
  const [uri, ...more] = asked.uriSans;
  if (uri === undefined || more.length > 0)
    throw refuse("csr-san-count", `it asks for ${asked.uriSans.length} URI names`);
  if (uri !== expected) throw refuse("csr-san-mismatch", `it asks for ${quoted(uri)}, the caller is ${expected}`);
}

function checkExtension(id: string, asked: ExtensionValues): void {
  if (id === OID.subjectAltName) return;
  if (id === OID.keyUsage) {
    if (asked.keyUsage?.join() === "digitalSignature") return;
    throw refuse("csr-key-usage", `it asks for the key usage ${asked.keyUsage?.join(", ")}`);
  }
  if (id === OID.extendedKeyUsage) {
    const uses = [...(asked.extendedKeyUsages ?? [])].sort().join();
    if (uses === [OID.serverAuth, OID.clientAuth].sort().join()) return;
    throw refuse("csr-extended-key-usage", `it asks for the extended key usages ${uses}`);
  }
  const notCa = id === OID.basicConstraints && !asked.isCa && asked.pathLength === undefined;
  if (!notCa) throw refuse("csr-extension", `it asks for the extension ${id}`);
}

function refuse(code: IdentityErrorCode, why: string): IdentityError {
  return new IdentityError(code, `certificate request refused: ${why}`);
}

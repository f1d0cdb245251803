/** P-256 public keys as certificates carry them: one accepted form (RFC 5480 §2), key identifiers, signatures. */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { Der } from "./der.ts";
import { plain } from "./der.ts";
import { IdentityError } from "./errors.ts";

/** SubjectPublicKeyInfo of an uncompressed P-256 point up to the X coordinate: id-ecPublicKey, prime256v1, 04. */
const P256_PREFIX = plain(Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex"));
const P256_LENGTH = P256_PREFIX.length + 64;
/** Where the BIT STRING's value (the point) starts inside that structure. */
const POINT_OFFSET = P256_PREFIX.length - 1;
const KEY_ID_LENGTH = 20;

/** True when the bytes have the one accepted form; whether the point lies on the curve is `importPublicKey`'s matter. */
export function isP256Spki(spki: Uint8Array): spki is Der {
  if (spki.length !== P256_LENGTH) return false;
  for (let i = 0; i < P256_PREFIX.length; i++) if (spki[i] !== P256_PREFIX[i]) return false;
  return true;
}

/** The key, ready to verify with; throws `bad-key` unless it is an uncompressed point of P-256. */
export function importPublicKey(spki: Uint8Array): KeyObject {
  if (!isP256Spki(spki)) throw new IdentityError("bad-key", "the public key is not an uncompressed P-256 key");
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new IdentityError("bad-key", "the public key is not a point of P-256", { cause });
  }
}

/** Key identifier: the leftmost 160 bits of SHA-256 of the point (RFC 7093 §2 method 1). */
export function keyIdOf(spki: Der): Uint8Array {
  const digest = createHash("sha256").update(spki.subarray(POINT_OFFSET)).digest();
  return plain(digest).subarray(0, KEY_ID_LENGTH);
}

/** True when `signature` (DER, ECDSA with SHA-256) is the key's over `message`. Never throws. */
export function signatureHolds(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify("sha256", message, key, signature);
  } catch {
    return false;
  }
}

/** A P-256 key pair whose private half stays inside: every way to print the object shows the public key only. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { type Der, plain } from "./der.ts";
import { IdentityError } from "./errors.ts";
import { isP256Spki } from "./public-key.ts";

/** The key of a workload, an operator or an authority, in the memory of the process that made it. */
export class KeyPair {
  readonly #privateKey: KeyObject;
  /** SubjectPublicKeyInfo. */
  readonly spki: Der;

  private constructor(privateKey: KeyObject, spki: Der) {
    this.#privateKey = privateKey;
    this.spki = spki;
  }

  static generate(): KeyPair {
    const pair = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      publicKeyEncoding: { type: "spki", format: "der" },
      privateKeyEncoding: { type: "pkcs8", format: "der" },
    });
    const privateKey = createPrivateKey({ key: pair.privateKey, format: "der", type: "pkcs8" });
    pair.privateKey.fill(0);
    return new KeyPair(privateKey, plain(pair.publicKey).slice() as Der);
  }

  /** The key that a CA store kept. Throws `bad-key`, without a word of the text, for anything but a P-256 key in PKCS#8. */
  static fromStore(pem: string): KeyPair {
    try {
      const privateKey = createPrivateKey({ key: pem, format: "pem", type: "pkcs8" });
      const spki = plain(createPublicKey(privateKey).export({ type: "spki", format: "der" })).slice() as Der;
      if (isP256Spki(spki)) return new KeyPair(privateKey, spki);
    } catch {
      // The cause might quote the key.
    }
    throw new IdentityError("bad-key", "the stored key is not a P-256 key in PKCS#8");
  }

  /** Signs with ECDSA and SHA-256; the DER `Ecdsa-Sig-Value`. */
  sign(bytes: Uint8Array): Der {
    return plain(sign("sha256", bytes, this.#privateKey)) as Der;
  }

  /** PKCS#8 in PEM, for this process's own TLS sockets and the CA store: never into another file, a log or a message. */
  privateKeyPem(): string {
    return this.#privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  }

  toString(): string {
    return "KeyPair(P-256, private key withheld)";
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

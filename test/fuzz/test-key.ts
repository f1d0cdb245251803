/** A key that everybody knows, so that what it signs can be judged again: its private half is 1, its public one the generator. */
import { createPrivateKey } from "node:crypto";
import { KeyPair } from "../../src/identity/index.ts";

const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64url");

export const TEST_KEY = KeyPair.fromStore(
  createPrivateKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      d: base64("01".padStart(64, "0")),
      x: base64("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
      y: base64("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    },
  }).export({ type: "pkcs8", format: "pem" }) as string,
);

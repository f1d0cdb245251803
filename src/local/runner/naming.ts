/** Names that Kubernetes would make: template hashes and pod suffixes. */
import { createHash } from "node:crypto";
import type { Random } from "../../mesh/index.ts";

/** Kubernetes' alphabet for generated names: no vowels, so no words (`k8s.io/apimachinery/util/rand`). */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Ten letters that tell one pod template from another. */
export function templateHash(template: unknown): string {
  const digest = createHash("sha256").update(JSON.stringify(template)).digest();
  return spell(digest.subarray(0, 10));
}

/** Five random letters. */
export function podSuffix(random: Random): string {
  return spell(random.bytes(5));
}

/** A version 4 UUID (RFC 9562 §5.4). */
export function podUid(random: Random): string {
  const bytes = Buffer.from(random.bytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function spell(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += ALPHABET[byte % ALPHABET.length];
  return text;
}

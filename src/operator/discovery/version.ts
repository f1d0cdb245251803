/** Versions of resources: hashes of their content, so that they are the same on every replica and after a restart. */
import { createHash } from "node:crypto";

export function versionOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
}

/** PEM (RFC 7468): written in 64-character lines; read strictly, with explanatory text allowed between blocks. */
import type { Der } from "./der.ts";
import { plain } from "./der.ts";
import { IdentityError, quoted } from "./errors.ts";

/** Far above any bundle or chain. */
const MAX_PEM = 1 << 20;

/** One block with its final line end. */
export function pemEncode(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  let text = `-----BEGIN ${label}-----\n`;
  for (let at = 0; at < base64.length; at += 64) text += `${base64.slice(at, at + 64)}\n`;
  return `${text}-----END ${label}-----\n`;
}

/**
 * The content of every block of `text`, at least one, all with this label. Throws `bad-pem` for another label, a block
 * that is cut off and base64 that is not canonical.
 */
export function pemDecode(label: string, text: string): Der[] {
  if (text.length > MAX_PEM) throw badPem(label, "it is larger than 1 MiB");
  const blocks: Der[] = [];
  let open: string | undefined;
  let base64 = "";
  for (const raw of text.split("\n")) {
    const line = raw.trim();
    const boundary = /^-----(BEGIN|END) ([^-]{1,64})-----$/.exec(line);
    if (boundary?.[1] === "BEGIN") {
      if (open !== undefined) throw badPem(label, `a block begins inside another (${quoted(line)})`);
      open = boundary[2] as string;
      if (open !== label) throw badPem(label, `it holds a block ${quoted(open)}`);
      base64 = "";
    } else if (boundary !== null) {
      if (open !== boundary[2]) throw badPem(label, `a block ends that did not begin (${quoted(line)})`);
      blocks.push(decodeBase64(label, base64));
      open = undefined;
    } else if (open !== undefined) {
      base64 += line;
    }
  }
  if (open !== undefined) throw badPem(label, "its last block is cut off");
  if (blocks.length === 0) throw badPem(label, "it holds no block");
  return blocks;
}

function decodeBase64(label: string, base64: string): Der {
  const bytes = Buffer.from(base64, "base64");
  // Node's decoder skips what it does not know; only text that encodes back to itself is base64.
  if (bytes.length === 0 || bytes.toString("base64") !== base64) throw badPem(label, "a block is not base64");
  return plain(bytes).slice() as Der;
}

function badPem(label: string, why: string): IdentityError {
  return new IdentityError("bad-pem", `not PEM of type ${label}: ${why}`);
}

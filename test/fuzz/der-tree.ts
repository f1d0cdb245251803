/** DER as a tree. */
import { element } from "../../src/identity/der-writer.ts";
import type { Dice } from "./dice.ts";
import { mutateTree, type Syntax, type TreeNode } from "./tree.ts";

const OCTET_STRING = 0x04;
const CONSTRUCTED = 0x20;
const DEEPEST = 30;

export function mutateDer(input: Uint8Array, dice: Dice): Uint8Array {
  return mutateTree(input, dice, DER);
}

const DER: Syntax = {
  parse: (bytes) => parse(bytes, 0),
  write: (nodes) => new Uint8Array(Buffer.concat(nodes.map(write))),
  otherTag: (tag, dice) => (dice.once(2) ? tag ^ (1 << dice.below(8)) : 0x80 + dice.below(10)),
  // What certificates and requests are made of.
  fresh: [
    "0101ff",
    "020102",
    "03020780",
    "03020106",
    "0400",
    "0500",
    "0603551d11",
    "0603551d0f",
    "0603551d13",
    "0603551d25",
    "06082b06010505070301",
    "06082a8648ce3d040302",
    "170d3236303131353132303030305a",
    "180f32303530303131353132303030305a",
    "3000",
    "3100",
    "a000",
    "30140603551d110101ff040a30088606737069666665",
    "8606737069666665",
    "870400000000",
  ].map((hex) => Buffer.from(hex, "hex")),
};

function write({ tag, content }: TreeNode): Uint8Array {
  return element(tag, ...(content instanceof Uint8Array ? [content] : content.map(write)));
}

function parse(bytes: Uint8Array, depth: number): readonly TreeNode[] | undefined {
  const nodes: TreeNode[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    const first = bytes[at + 1];
    if (first === undefined || depth > DEEPEST) return undefined;
    const octets = first > 0x80 ? first & 0x7f : 0;
    if (octets > 3) return undefined;
    let length = octets === 0 ? first : 0;
    for (let i = 0; i < octets; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
    const start = at + 2 + octets;
    if (start + length > bytes.length) return undefined;
    const content = bytes.subarray(start, start + length);
    const nested = (tag & CONSTRUCTED) !== 0 || tag === OCTET_STRING ? parse(content, depth + 1) : undefined;
    nodes.push({ tag, content: nested ?? content });
    at = start + length;
  }
  return nodes;
}

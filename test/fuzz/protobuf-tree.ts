/** Protobuf as a tree: keys (field number and wire type) with their values. */
import type { Dice } from "./dice.ts";
import { mutateTree, type Syntax, type TreeNode } from "./tree.ts";

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const DEEPEST = 20;

export function mutateProtobuf(input: Uint8Array, dice: Dice): Uint8Array {
  return mutateTree(input, dice, PROTOBUF);
}

const PROTOBUF: Syntax = {
  parse: (bytes) => parse(bytes, 0),
  write: (nodes) => new Uint8Array(nodes.flatMap(write)),
  otherTag: (tag, dice) => (dice.once(3) ? tag ^ (1 << dice.below(3)) : (dice.below(25) << 3) | (tag & 7)),
  fresh: [
    "0801",
    "08ffffffffffffffffff01",
    "08ffffffffffffffff7f",
    "0a00",
    "0a0161",
    "0a02c328",
    "0a0f5f5f70726f746f5f5f",
    "1204000000ff",
    "0d00000000",
    "090000000000000000",
    "0b0c",
    "1a0708501090bfb00a",
  ].map((hex) => Buffer.from(hex, "hex")),
};

function write({ tag, content }: TreeNode): number[] {
  const bytes = content instanceof Uint8Array ? [...content] : content.flatMap(write);
  return [...varint(tag), ...((tag & 7) === WIRE.bytes ? varint(bytes.length) : []), ...bytes];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

function parse(bytes: Uint8Array, depth: number): readonly TreeNode[] | undefined {
  if (depth > DEEPEST) return undefined;
  const nodes: TreeNode[] = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    at = Number.NaN;
    return 0;
  };
  while (at < bytes.length) {
    const tag = number();
    let start = at;
    switch (tag & 7) {
      case WIRE.varint:
        while ((bytes[at++] ?? 0) >= 128);
        break;
      case WIRE.fixed64:
        at += 8;
        break;
      case WIRE.fixed32:
        at += 4;
        break;
      case WIRE.bytes: {
        const length = number();
        start = at;
        at += length;
        break;
      }
      default:
        return undefined;
    }
    if (!(at <= bytes.length)) return undefined;
    const content = bytes.subarray(start, at);
    const nested = (tag & 7) === WIRE.bytes && content.length > 0 ? parse(content, depth + 1) : undefined;
    nodes.push({ tag, content: nested ?? content });
  }
  return at === bytes.length ? nodes : undefined;
}

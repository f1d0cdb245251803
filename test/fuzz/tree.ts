/** Bytes that are a tree (DER, protobuf), changed so that every length still fits. */
import type { Dice } from "./dice.ts";
import { mutateBytes, mutateList } from "./mutate.ts";

/** An element of the tree. */
export interface TreeNode {
  /** Tag or key. */
  readonly tag: number;
  /** Children where the content can be read as such itself. */
  readonly content: Uint8Array | readonly TreeNode[];
}

export interface Syntax {
  /** The elements that the bytes are, none left over; undefined when they are not. */
  readonly parse: (bytes: Uint8Array) => readonly TreeNode[] | undefined;
  readonly write: (nodes: readonly TreeNode[]) => Uint8Array;
  /** Elements to put in. */
  readonly fresh: readonly Uint8Array[];
  readonly otherTag: (tag: number, dice: Dice) => number;
}

/** One element more, less, changed or elsewhere; bytes that are no tree are changed as bytes. */
export function mutateTree(input: Uint8Array, dice: Dice, syntax: Syntax): Uint8Array {
  const nodes = syntax.parse(input);
  return nodes === undefined ? mutateBytes(input, dice) : syntax.write(mutateNodes(nodes, dice, syntax));
}

function mutateNodes(nodes: readonly TreeNode[], dice: Dice, syntax: Syntax): readonly TreeNode[] {
  // Deeper in three of four cases, so that the leaves are reached.
  const inner = nodes.flatMap(({ content }, index) => (content instanceof Uint8Array ? [] : [index]));
  if (inner.length > 0 && !dice.once(4)) {
    const index = dice.pick(inner);
    return nodes.map(({ tag, content }, at) =>
      at !== index || content instanceof Uint8Array
        ? { tag, content }
        : { tag, content: mutateNodes(content, dice, syntax) },
    );
  }
  return mutateList(
    nodes,
    dice,
    ({ tag, content }) => {
      if (dice.once(5)) return { tag: syntax.otherTag(tag, dice), content };
      if (content instanceof Uint8Array) return { tag, content: mutateBytes(content, dice) };
      return { tag, content: mutateNodes(content, dice, syntax) };
    },
    () => syntax.parse(dice.pick(syntax.fresh))?.[0] ?? { tag: 0, content: new Uint8Array(0) },
  );
}

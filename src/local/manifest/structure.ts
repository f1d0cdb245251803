/**
 * What is wrong with a document before anybody looks at its meaning: keys that are there twice, and aliases that grow. One walk in
 * the order of the text, so that a hostile file costs no more than its length.
 */
import { isAlias, isMap, isPair, isScalar, isSeq, type Node } from "yaml";

/** Values that a document's aliases may come to; far above what a person writes. */
const MOST_VALUES = 200_000;

export interface Flaw {
  /** Position in the text. */
  readonly offset: number;
  readonly what: string;
}

/** The flaws of a document's content; none for an ordinary one. */
export function flawsOf(contents: Node): readonly Flaw[] {
  const flaws: Flaw[] = [];
  /** Anchor → values behind it; undefined while it is being walked. */
  const sizes = new Map<string, number | undefined>();
  const walk = (node: unknown): number => {
    if (isAlias(node)) {
      const size = sizes.get(node.source);
      if (size === undefined && sizes.has(node.source)) {
        flaws.push({ offset: offsetOf(node), what: `the alias *${node.source} holds itself` });
      }
      return size ?? 1;
    }
    const anchor = isMap(node) || isSeq(node) || isScalar(node) ? node.anchor : undefined;
    if (anchor !== undefined) sizes.set(anchor, undefined);
    let size = 1;
    if (isMap(node)) {
      const keys = new Set<unknown>();
      for (const pair of node.items) {
        const key = isScalar(pair.key) ? pair.key.value : undefined;
        // Several merge keys are how some write several bases.
        if (key !== undefined && key !== "<<" && keys.size === keys.add(key).size) {
          flaws.push({ offset: offsetOf(pair.key), what: `the key ${JSON.stringify(key)} is there twice` });
        }
        size += walk(pair.key) + walk(pair.value);
      }
    } else if (isSeq(node)) for (const item of node.items) size += walk(item);
    else if (isPair(node)) size += walk(node.key) + walk(node.value);
    if (anchor !== undefined) sizes.set(anchor, size);
    return size;
  };
  const size = walk(contents);
  if (size > MOST_VALUES) {
    flaws.push({ offset: 0, what: `its aliases come to ${size} values; at most ${MOST_VALUES} are read` });
  }
  return flaws;
}

function offsetOf(node: unknown): number {
  return (node as Node | undefined)?.range?.[0] ?? 0;
}

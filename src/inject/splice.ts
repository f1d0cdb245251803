/**
 * A JSON patch applied to YAML text: every addition becomes an insertion at an offset, so that each byte that was there is
 * still there, in its order; only a handler that gives way to another is replaced. Block style is answered in block
 * style, flow style and JSON in JSON.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  stringify,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import { InjectError } from "./errors.ts";
import { type PatchOperation, stepsOf } from "./patch.ts";

/** `text` goes in at `offset`; `remove` characters there (a written-out `null`, a handler) go away. */
export interface Splice {
  readonly offset: number;
  readonly text: string;
  readonly remove: number;
}

interface Collection {
  readonly node: YAMLMap | YAMLSeq;
  readonly additions: string[];
}

/** The insertions for one patched object, whose tree is `root`; `shared` are its document's `sharedAnchors`. Throws InjectError `shared-node` or `odd-yaml`. */
export function splicesOf(
  source: string,
  lineEnd: "\n" | "\r\n",
  shared: ReadonlySet<string>,
  root: Node,
  patch: readonly PatchOperation[],
): readonly Splice[] {
  const splices: Splice[] = [];
  const collections = new Map<Node, Collection>();
  let removed: { readonly parent: Node; readonly pair: Pair<Node, Node | null> } | undefined;
  for (const operation of patch) {
    const steps = stepsOf(operation.path);
    const last = steps.at(-1) as string;
    const parent = descend(root, steps.slice(0, -1), shared, operation.path);
    if (operation.op === "remove") {
      const pair = isMap(parent) ? pairAt(parent, last) : undefined;
      if (pair === undefined) throw new InjectError("odd-yaml", `${operation.path} cannot be taken out`);
      // What takes its place comes next.
      removed = { parent, pair };
      continue;
    }
    if (isMap(parent)) {
      const pair = pairAt(parent, last);
      const gone = removed?.parent === parent ? removed.pair : undefined;
      if (gone !== undefined && pair === undefined) {
        splices.push(swap(source, parent, gone, last, operation.value, shared));
        removed = undefined;
        continue;
      }
      if (removed !== undefined) throw new InjectError("odd-yaml", `${operation.path} is there twice`);
      if (pair !== undefined) {
        const filled = isScalar(pair.value) ? pair.value.value !== null : pair.value !== null;
        splices.push(
          filled
            ? swap(source, parent, pair, last, operation.value, shared)
            : fill(source, parent, pair, operation.value, lineEnd),
        );
        continue;
      }
    } else if (!isSeq(parent)) {
      throw new InjectError("odd-yaml", `${operation.path} cannot be added: its parent is neither a map nor a list`);
    }
    const collection = collections.get(parent) ?? { node: parent, additions: [] };
    collections.set(parent, collection);
    collection.additions.push(
      parent.flow === true || parent.items.length === 0
        ? `${isMap(parent) ? `${JSON.stringify(last)}: ` : ""}${JSON.stringify(operation.value)}`
        : block(isMap(parent) ? { [last]: operation.value } : [operation.value]),
    );
  }
  for (const collection of collections.values()) splices.push(insertion(source, collection, lineEnd));
  return splices;
}

/** By their place in the text. */
export function inOrder(splices: readonly Splice[]): readonly Splice[] {
  return splices.toSorted((a, b) => a.offset - b.offset);
}

/** The text with all splices done. */
export function spliceText(source: string, splices: readonly Splice[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const splice of inOrder(splices)) {
    parts.push(source.slice(at, splice.offset), splice.text);
    at = splice.offset + splice.remove;
  }
  parts.push(source.slice(at));
  return parts.join("");
}

function descend(root: Node, steps: readonly string[], shared: ReadonlySet<string>, path: string): Node {
  let node: unknown = root;
  for (const step of [undefined, ...steps]) {
    if (step !== undefined)
      node = isMap(node) ? node.get(step, true) : isSeq(node) ? node.get(Number(step), true) : undefined;
    if (isAlias(node)) throw new InjectError("shared-node", `${path} lies in an alias (*${node.source})`);
    if ((isMap(node) || isSeq(node)) && node.anchor !== undefined && shared.has(node.anchor)) {
      throw new InjectError("shared-node", `${path} lies in &${node.anchor}, which is used elsewhere too`);
    }
  }
  return node as Node;
}

/** Anchors that an alias names. */
export function sharedAnchors(document: Document): ReadonlySet<string> {
  const used = new Set<string>();
  visit(document, {
    Alias(_key, node) {
      used.add(node.source);
    },
  });
  return used;
}

function pairAt(map: YAMLMap, key: string): Pair<Node, Node | null> | undefined {
  return map.items.find((one) => isScalar(one.key) && one.key.value === key) as Pair<Node, Node | null> | undefined;
}

/** One pair in another's place, on one line; a comment behind the old one stays. */
function swap(
  source: string,
  parent: YAMLMap,
  old: Pair<Node, Node | null>,
  key: string,
  value: unknown,
  shared: ReadonlySet<string>,
): Splice {
  visit(old.value, {
    Node(_key, node) {
      if (!isAlias(node) && node.anchor !== undefined && shared.has(node.anchor)) {
        throw new InjectError("shared-node", `${key} would replace &${node.anchor}, which is used elsewhere too`);
      }
    },
  });
  const start = old.key.range?.[0];
  const end = endOf(source, old);
  if (start === undefined || end === undefined || isExplicit(source, old)) {
    throw new InjectError(
      "odd-yaml",
      `${String((old.key as { value?: unknown }).value)} is written with ?, and cannot be replaced`,
    );
  }
  const text =
    parent.flow === true
      ? `${JSON.stringify(key)}: ${JSON.stringify(value)}`
      : `${key}: ${stringify(value, { collectionStyle: "flow", lineWidth: 0, aliasDuplicateObjects: false }).trimEnd()}`;
  return { offset: start, text, remove: end - start };
}

/** Behind the last character of a pair, without the comments and the line ends that a block collection counts in. */
function endOf(source: string, pair: Pair<Node, Node | null>): number | undefined {
  const { key, value } = pair;
  const keyEnd = key.range?.[1];
  const valueRange = value?.range;
  if (keyEnd === undefined) return undefined;
  // A null that is not written: its place may be behind a comment.
  if (!valueRange || valueRange[0] === valueRange[1]) return source.indexOf(":", keyEnd) + 1;
  if (isMap(value) && value.flow !== true) {
    const last = value.items.at(-1);
    if (last !== undefined) return endOf(source, last as Pair<Node, Node | null>);
  }
  if (isSeq(value) && value.flow !== true) {
    const last = value.items.at(-1);
    if (isMap(last) && last.flow !== true && last.items.length > 0) {
      return endOf(source, last.items.at(-1) as Pair<Node, Node | null>);
    }
    if (last !== undefined) return (last as Node).range?.[1];
  }
  // The range of a block scalar has its line ends.
  return valueRange[0] + source.slice(valueRange[0], valueRange[1]).trimEnd().length;
}

/** Written with `? key`, so that its value follows on a line of its own. */
function isExplicit(source: string, pair: Pair<Node, Node | null>): boolean {
  const end = pair.key.range?.[1] ?? 0;
  return !/^[ \t]*:/.test(source.slice(end, source.indexOf(":", end) + 1));
}

/** A key that is there with a null value: the value goes behind its colon. */
function fill(source: string, parent: YAMLMap, pair: Pair<Node, Node | null>, value: unknown, lineEnd: string): Splice {
  const keyRange = pair.key.range;
  const valueRange = pair.value?.range;
  if (keyRange === null || keyRange === undefined)
    throw new InjectError("odd-yaml", "a key without a place in the text");
  const colon = source.indexOf(":", keyRange[1]);
  const written = isScalar(pair.value) && valueRange ? source.slice(valueRange[0], valueRange[1]) : "";
  if (parent.flow === true || written !== "") {
    const json = JSON.stringify(value);
    if (written !== "" && valueRange) return { offset: valueRange[0], text: json, remove: written.length };
    return { offset: colon + 1, text: ` ${json}`, remove: 0 };
  }
  // Behind the line of the key, so that a comment on it stays where it is.
  const newline = source.indexOf("\n", colon);
  const indent = " ".repeat(columnOf(source, keyRange[0]) + 2);
  const body = indented(block(value), indent, lineEnd);
  if (newline < 0) return { offset: source.length, text: `${lineEnd}${indent}${body}`, remove: 0 };
  return { offset: newline + 1, text: `${indent}${body}${lineEnd}`, remove: 0 };
}

function insertion(source: string, { node, additions }: Collection, lineEnd: string): Splice {
  const range = node.range;
  if (range === null || range === undefined)
    throw new InjectError("odd-yaml", "a collection without a place in the text");
  if (node.flow === true || node.items.length === 0) {
    const open = source.indexOf(isMap(node) ? "{" : "[", range[0]);
    if (open < 0 || open >= range[1]) throw new InjectError("odd-yaml", "an empty collection that is not written out");
    const tail = node.items.length === 0 ? "" : ", ";
    return { offset: open + 1, text: additions.join(", ") + tail, remove: 0 };
  }
  const start = range[0];
  const column = columnOf(source, start);
  const lineStart = start - column;
  const indent = " ".repeat(column);
  const opensItsLine = source.slice(lineStart, start).trim() === "";
  const first = source[start];
  if (first === "?" || first === undefined) throw new InjectError("odd-yaml", "a map with explicit keys");
  if (!opensItsLine) {
    return {
      offset: start,
      text: additions.map((text) => `${indented(text, indent, lineEnd)}${lineEnd}${indent}`).join(""),
      remove: 0,
    };
  }
  const text = additions.map((one) => `${indent}${indented(one, indent, lineEnd)}${lineEnd}`).join("");
  return { offset: aboveComments(source, lineStart), text, remove: 0 };
}

/** The start of the comment lines directly above: they belong to what follows them. */
function aboveComments(source: string, lineStart: number): number {
  let at = lineStart;
  while (at > 0) {
    const before = source.lastIndexOf("\n", at - 2) + 1;
    if (!source.slice(before, at).trimStart().startsWith("#")) break;
    at = before;
  }
  return at;
}

function columnOf(source: string, offset: number): number {
  return offset - (source.lastIndexOf("\n", offset - 1) + 1);
}

/** Block-style YAML without the final newline. */
function block(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).trimEnd();
}

/** Lines but the first are pushed to the right. */
function indented(text: string, indent: string, lineEnd: string): string {
  return text.split("\n").join(`${lineEnd}${indent}`);
}

/** YAML merge keys (`<<: *anchor`), resolved in the tree, so that the checkers see the fields that kubectl would send. */
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, type Pair, visit, type YAMLMap } from "yaml";

/** Nodes that one document may have after it; a manifest of 1,000 pods has a tenth. */
const LIMIT = 200_000;

type Anchors = Map<string, Node>;

/** Replaces each `<<` by the pairs that it stands for; a map's own keys win. False when that grows without bound. */
export function mergeMaps(document: Document): boolean {
  let seen = 0;
  let merged = false;
  // Of the anchors before a place, the last one of a name counts; Alias.resolve() would read the whole tree each time.
  const anchors: Anchors = new Map();
  visit(document, {
    Node: (_, node) => {
      if (++seen > LIMIT && merged) return visit.BREAK;
      if (!isAlias(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
      if (!isMap(node) || !node.items.some(isMerge)) return undefined;
      merged = true;
      node.items = [...pairsOf(node, anchors, [])];
      return undefined;
    },
  });
  return seen <= LIMIT || !merged;
}

function pairsOf(map: YAMLMap, anchors: Anchors, within: readonly YAMLMap[]): readonly Pair[] {
  if (within.includes(map)) return [];
  const own = map.items.filter((pair) => !isMerge(pair));
  const names = new Set(own.map(nameOf));
  const merged: Pair[] = [];
  for (const { value } of map.items.filter(isMerge)) {
    for (const source of sourcesOf(value as Node | null, anchors)) {
      for (const pair of pairsOf(source, anchors, [...within, map])) {
        if (names.has(nameOf(pair))) continue;
        names.add(nameOf(pair));
        merged.push(pair);
      }
    }
  }
  return [...own, ...merged];
}

/** What `<<` names: a map, or a list of maps of which the first wins. */
function sourcesOf(value: Node | null, anchors: Anchors): readonly YAMLMap[] {
  const node = isAlias(value) ? anchors.get(value.source) : value;
  if (isMap(node)) return [node];
  return isSeq(node) ? node.items.flatMap((item) => sourcesOf(item as Node, anchors)) : [];
}

function isMerge(pair: Pair): boolean {
  if (!isScalar(pair.key)) return false;
  const { value, type } = pair.key;
  return typeof value === "symbol" ? value.description === "<<" : value === "<<" && (type ?? "PLAIN") === "PLAIN";
}

function nameOf(pair: Pair): unknown {
  return isScalar(pair.key) ? pair.key.value : pair.key;
}

/** Where the pods of a manifest are: every document, every kind that holds a pod template, Lists however deep. */
import {
  type Document,
  isMap,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
  type YAMLMap,
} from "yaml";
import { InjectError } from "./errors.ts";
import { isObject, type JsonObject } from "./json.ts";
import { pointer } from "./patch.ts";

/** Where a kind keeps its pod template; an empty path is the object itself. */
const POD_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
};

/** A list of another group may have such a kind name too; only these hold pods. */
const LISTS = new Set(["List", ...Object.keys(POD_PATHS).map((kind) => `${kind}List`)]);

export interface Manifest {
  readonly text: string;
  readonly lineEnd: "\n" | "\r\n";
  readonly documents: readonly Document[];
  /** `name:line:column` of an offset. */
  readonly place: (offset: number) => string;
  readonly lineOf: (offset: number) => number;
}

/** One object that holds a pod. */
export interface PodHolder {
  /** The object's tree. */
  readonly node: YAMLMap;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  /** Of the object in the text. */
  readonly offset: number;
  /** Steps from the document's root to the object. */
  readonly steps: readonly (string | number)[];
  /** Pointer from the object to its pod; empty for a Pod. */
  readonly at: string;
  /** The Pod or pod template itself. Throws InjectError `bad-pod` when it is not there. */
  readonly pod: () => JsonObject;
}

/** Throws InjectError `malformed-yaml`. `name` is the file's, for messages. */
export function parseManifest(text: string, name: string): Manifest {
  const lines = new LineCounter();
  // `<<` as kubectl reads it.
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true, logLevel: "error" });
  const documents = "empty" in parsed ? [] : (parsed as Document[]);
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  for (const { errors } of documents) {
    const broken = errors[0];
    if (broken !== undefined) {
      throw new InjectError("malformed-yaml", `${place(broken.pos[0])}: malformed YAML: ${broken.message}`);
    }
  }
  return {
    text,
    lineEnd: text.includes("\r\n") ? "\r\n" : "\n",
    documents,
    place,
    lineOf: (offset) => lines.linePos(offset).line,
  };
}

/** What `{{ .Values.name }}` is to a YAML reader: a map that has a map for a key. No object of Kubernetes has one. */
function unrendered(node: Node): Pair | undefined {
  let found: Pair | undefined;
  visit(node, {
    Pair: (_, pair) => {
      if (!isMap(pair.key) && !isSeq(pair.key)) return undefined;
      found = pair;
      return visit.BREAK;
    },
  });
  return found;
}

const RENDER = "is that a Helm template? Render it first: helm template … | tulle inject -";

/** Throws InjectError `bad-pod` for an object that no API server would take, and that looks like a template. */
function checkRendered(node: YAMLMap, metadata: JsonObject): void {
  for (const field of ["name", "generateName", "namespace"]) {
    const value = metadata[field];
    if (value === undefined || value === null || typeof value === "string") continue;
    const why = typeof value === "object" ? RENDER : `quote it: "${String(value)}"`;
    throw new InjectError("bad-pod", `metadata.${field} is not a string; ${why}`);
  }
  if (unrendered(node) !== undefined) throw new InjectError("bad-pod", `it has a map for a key ({{ … }}); ${RENDER}`);
}

/** Aliases of one anchor, as far as they are resolved: a map of maps of aliases would else grow without bound. */
const MOST_ALIASES = 100;

/** A document, or a part of it, without its text. Throws InjectError `malformed-yaml` for an alias that cannot be resolved. */
export function plainValue({ place }: Manifest, document: Document, node?: Node): unknown {
  try {
    const options = { maxAliasCount: MOST_ALIASES };
    return node === undefined ? document.toJS(options) : node.toJS(document, options);
  } catch (error) {
    // The only way in which the reader tells of one without an anchor before it, or of too many.
    if (!(error instanceof ReferenceError)) throw error;
    const offset = (node ?? document).range?.[0] ?? 0;
    throw new InjectError("malformed-yaml", `${place(offset)}: malformed YAML: ${error.message}`);
  }
}

/** The pods of one document, in their order. Throws InjectError `malformed-yaml`. */
export function* podsOf(manifest: Manifest, document: Document): Iterable<PodHolder> {
  for (const { node, steps } of objectsOf(document.contents as Node | null, [])) {
    const kind = String(isMap(node) ? node.get("kind") : "");
    const path = Object.hasOwn(POD_PATHS, kind) ? POD_PATHS[kind] : undefined;
    if (path === undefined || !isMap(node)) continue;
    const whole = plainValue(manifest, document, node);
    const metadata = isObject(whole) && isObject(whole["metadata"]) ? whole["metadata"] : {};
    yield {
      node,
      kind,
      name: textOf(metadata["name"]) ?? textOf(metadata["generateName"]) ?? "",
      namespace: typeof metadata["namespace"] === "string" ? metadata["namespace"] : undefined,
      offset: node.range?.[0] ?? 0,
      steps,
      at: pointer(...path),
      pod: () => {
        checkRendered(node, metadata);
        const pod = path.reduce<unknown>((value, step) => (isObject(value) ? value[step] : undefined), whole);
        if (!isObject(pod)) throw new InjectError("bad-pod", `${path.join(".")} is missing`);
        return pod;
      },
    };
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Runs `work` on a pod; its refusal names file, line and object. */
export function onPod<T>(manifest: Manifest, holder: PodHolder, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InjectError)) throw error;
    const subject = `${holder.kind}/${holder.name === "" ? "?" : holder.name}`;
    throw new InjectError(error.code, `${manifest.place(holder.offset)}: ${subject}: ${error.message}`);
  }
}

interface Found {
  readonly node: Node;
  readonly steps: readonly (string | number)[];
}

/** The document itself, or the items of a List, however deep. */
function objectsOf(node: Node | null, steps: readonly (string | number)[]): readonly Found[] {
  if (node === null) return [];
  if (!isMap(node) || !LISTS.has(String(node.get("kind")))) return [{ node, steps }];
  const items = node.get("items", true);
  return isSeq(items) ? items.items.flatMap((item, index) => objectsOf(item as Node, [...steps, "items", index])) : [];
}

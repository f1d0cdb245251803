/** Manifests in, typed objects out: every document is checked before anything is made. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type YAMLMap } from "yaml";
import type { KubernetesObject } from "../kinds.ts";
import { nearest, problem, resolve, type Scope } from "./check.ts";
import { mergeMaps } from "./merge.ts";
import { keyOf, type Placed, subjectOf } from "./placed.ts";
import { ManifestError, type Problem } from "./problems.ts";
import { checkReferences } from "./references.ts";
import { KINDS } from "./schema.ts";
import { flawsOf } from "./structure.ts";

export interface Manifest {
  readonly objects: readonly Placed[];
  /** What is accepted but not honoured, for a person to read. */
  readonly notices: readonly Problem[];
}

export interface ParseOptions {
  /** Objects that exist already (for `apply`): references to them hold. */
  readonly existing?: readonly Placed[];
  /** Pods that the node has addresses for. */
  readonly podLimit?: number;
  /** False for `delete`: what the objects say of others, and whether the node could hold them, is of no matter. */
  readonly references?: false;
}

/** Pods that one node holds at most: each has processes, mounts and addresses of its own. */
export const POD_LIMIT = 200;

/** 10,000 pods have 3 MiB. */
const MOST_TEXT = 32 * 1024 * 1024;

/** Reads YAML or JSON. Throws ManifestError with every problem found. */
export function parseManifests(
  files: readonly { readonly name: string; readonly text: string }[],
  options: ParseOptions = {},
): Manifest {
  const problems: Problem[] = [];
  const notices: Problem[] = [];
  const objects: Placed[] = [];
  const seen = new Map<string, Placed>();
  for (const file of files) {
    if (file.text.length > MOST_TEXT) {
      const what = `it is larger than ${MOST_TEXT / 1024 / 1024} MiB`;
      problems.push({ file: file.name, line: 1, column: 1, subject: "", what });
      continue;
    }
    const lines = new LineCounter();
    const options = { lineCounter: lines, prettyErrors: false, uniqueKeys: false, merge: true };
    const documents = parseAllDocuments(file.text, options);
    for (const document of "empty" in documents ? [] : documents) {
      const scope = { file: file.name, lines, document, problems, notices };
      if (document.errors.length > 0) {
        for (const error of document.errors) {
          const { line, col } = lines.linePos(error.pos[0]);
          problems.push({ file: file.name, line, column: col, subject: "", what: `malformed YAML: ${error.message}` });
        }
        continue;
      }
      // Nothing but comments: what `helm template` makes of a file whose condition is false.
      if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) continue;
      const flaws = flawsOf(document.contents as Node);
      for (const flaw of flaws) {
        const { line, col } = lines.linePos(flaw.offset);
        problems.push({ file: file.name, line, column: col, subject: "", what: flaw.what });
      }
      if (flaws.length > 0) continue;
      if (!mergeMaps(document)) {
        problems.push({
          file: file.name,
          line: 1,
          column: 1,
          subject: "",
          what: "its merge keys (<<) grow without bound",
        });
        continue;
      }
      for (const node of flatten(document.contents as Node, { ...scope, subject: "" })) {
        const placed = one(node, scope);
        if (placed === undefined) continue;
        const key = keyOf(placed);
        const before = seen.get(key);
        if (before === undefined) {
          seen.set(key, placed);
          objects.push(placed);
        } else {
          const where = `${before.position.file}:${before.position.line}`;
          problems.push({
            ...placed.position,
            subject: subjectOf(placed.object),
            what: `is there twice; the first is at ${where}`,
          });
        }
      }
    }
  }
  if (options.references !== false) {
    const limit = Math.min(options.podLimit ?? POD_LIMIT, POD_LIMIT);
    problems.push(...checkReferences(objects, options.existing ?? [], limit));
  }
  if (problems.length > 0) throw new ManifestError(problems);
  return { objects, notices };
}

/** The items of a `kind: List`, or the document itself. */
function flatten(node: Node, scope: Scope): readonly Node[] {
  if (!isMap(node) || node.get("kind") !== "List") return [node];
  const items = node.get("items", true) as Node | undefined;
  if (items === undefined || !isSeq(items)) {
    problem(scope, node, "List: items must be a list");
    return [];
  }
  return items.items.map((item) => resolve(item as Node, scope));
}

function one(node: Node, base: Omit<Scope, "subject">): Placed | undefined {
  const nameless = { ...base, subject: "" };
  if (!isMap(node)) {
    problem(nameless, node, "the document is not an object; it needs apiVersion, kind and metadata");
    return undefined;
  }
  const kind = node.get("kind");
  if (typeof kind !== "string" || kind === "") {
    problem(nameless, node, "kind is missing");
    return undefined;
  }
  const name = nameOf(node);
  const scope = { ...base, subject: name === undefined ? kind : `${kind}/${name}` };
  const schema = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  const apiVersion = node.get("apiVersion");
  if (schema === undefined) {
    const near = nearest(kind, Object.keys(KINDS));
    const known = Object.keys(KINDS).join(", ");
    const hint = near === undefined ? `play runs ${known}` : `did you mean ${near}?`;
    const own = typeof apiVersion === "string" && apiVersion.startsWith("tulle.dev/");
    problem(
      scope,
      node.get("kind", true) as Node,
      own ? `kind ${kind} is not known to this version of Tulle` : `kind ${kind} is not supported by play; ${hint}`,
    );
    return undefined;
  }
  if (apiVersion !== schema.apiVersion) {
    problem(
      scope,
      (node.get("apiVersion", true) as Node | undefined) ?? node,
      `apiVersion must be ${schema.apiVersion}${apiVersion === undefined ? "; it is missing" : `, not ${String(apiVersion)}`}`,
    );
  }
  const before = base.problems.length;
  schema.check(node, "", scope);
  if (base.problems.length > before || name === undefined) return undefined;
  const object = withoutNulls(node.toJS(base.document, { maxAliasCount: -1 })) as KubernetesObject;
  const { line, col } = base.lines.linePos(node.range?.[0] ?? 0);
  const namespace = object.kind === "Namespace" ? "" : (object.metadata.namespace ?? "default");
  return { object, namespace, position: { file: base.file, line, column: col } };
}

/** A field that is null is one that is not there, as the API server reads it. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([, one]) => one !== null && one !== undefined);
  return Object.fromEntries(kept.map(([key, one]) => [key, withoutNulls(one)]));
}

function nameOf(node: YAMLMap): string | undefined {
  const metadata = node.get("metadata");
  const name = isMap(metadata) ? metadata.get("name") : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

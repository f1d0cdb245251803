/**
 * The way back: a meshed manifest in, the manifest before injection out. A text that is as `inject` left it is cut where it
 * was spliced, byte for byte; one that another tool printed anew is mended object by object.
 */
import { type Document, type Node, parseAllDocuments } from "yaml";
import {
  ENV,
  IDENTITY_VOLUME,
  INIT_CONTAINER,
  INJECTED_ANNOTATION,
  ORIGINAL_ANNOTATION,
  PROXY_CONTAINER,
  RUN_VOLUME,
} from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import { DEFAULT_CONTAINER_ANNOTATIONS, hasSidecar } from "./inject-pod.ts";
import { isObject, type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { type Manifest, onPod, parseManifest, plainValue, podsOf } from "./manifest.ts";
import { type Cut, decodeOriginal, type Original } from "./original.ts";
import { applyPatch, type PatchOperation, pointer, stepsOf } from "./patch.ts";
import { decodeProbes, restoreProbes } from "./probes.ts";
import { type Splice, spliceText } from "./splice.ts";

export interface UninjectResult {
  readonly kind: string;
  readonly name: string;
  /** `exact`: byte for byte. `reprinted`: the same object, but its document was printed anew. `unmeshed`: nothing to do. */
  readonly outcome: "exact" | "reprinted" | "unmeshed";
}

export interface UninjectedManifest {
  readonly text: string;
  readonly results: readonly UninjectResult[];
}

/** Takes the sidecar out of every pod of the text. Throws InjectError with `name:line:column`. */
export function uninjectManifest(text: string, name = "-"): UninjectedManifest {
  const manifest = parseManifest(text, name);
  const results: UninjectResult[] = [];
  const splices: Splice[] = [];
  let end = 0;
  for (const document of manifest.documents) {
    // Comments and directives in front of it are the document's too.
    const part = { from: end, to: (document.range as [number, number, number])[2] };
    end = part.to;
    const found: { readonly kind: string; readonly name: string; readonly meshed: boolean }[] = [];
    const patch: PatchOperation[] = [];
    const cuts: Splice[] = [];
    let cuttable = true;
    for (const holder of podsOf(manifest, document)) {
      onPod(manifest, holder, () => {
        const pod = holder.pod();
        const meshed = hasSidecar(objectAt(pod, "spec"));
        found.push({ kind: holder.kind, name: holder.name, meshed });
        if (!meshed) return;
        const original = decodeOriginal(objectAt(objectAt(pod, "metadata"), "annotations")[ORIGINAL_ANNOTATION]);
        const prefix = pointer(...holder.steps) + holder.at;
        patch.push(...uninjectPatch(pod, original).map((one) => ({ ...one, path: prefix + one.path })));
        const value = holder.node.getIn([...stepsOf(holder.at), "metadata", "annotations", ORIGINAL_ANNOTATION], true);
        const range = (value as Node | undefined)?.range;
        if (original.cuts.length === 0 || range === null || range === undefined) cuttable = false;
        else cuts.push(...original.cuts.map((cut) => splice(cut, range[0], range[1])));
      });
    }
    const meshed = patch.length > 0;
    const exact = meshed && cuttable && isExact(manifest, part, document, cuts, patch);
    if (exact) splices.push(...cuts);
    else if (meshed) splices.push(reprinted(manifest, part, document, patch));
    for (const one of found) {
      const outcome = !one.meshed ? "unmeshed" : exact ? "exact" : "reprinted";
      results.push({ kind: one.kind, name: one.name, outcome });
    }
  }
  return { text: spliceText(text, splices), results };
}

/** What takes the sidecar out of a pod. Throws InjectError `bad-record`. */
function uninjectPatch(pod: JsonObject, { was }: Original): readonly PatchOperation[] {
  const spec = objectAt(pod, "spec");
  const proxy = objectsAt(spec, "initContainers").find((one) => textAt(one, "name") === PROXY_CONTAINER);
  const variable = objectsAt(proxy, "env").find((one) => one["name"] === ENV.probes);
  return [
    ...restoreProbes(spec, decodeProbes(textAt(variable, "value") ?? "") ?? {}),
    ...without(spec, "initContainers", [INIT_CONTAINER, PROXY_CONTAINER], was),
    ...without(spec, "volumes", [RUN_VOLUME, IDENTITY_VOLUME], was),
    ...unannotate(pod, was),
  ];
}

function without(spec: JsonObject, list: string, names: readonly string[], was: JsonObject): readonly PatchOperation[] {
  const items = Array.isArray(spec[list]) ? (spec[list] as unknown[]) : [];
  const ours = items.flatMap((item, index) => (names.includes(textAt(item, "name") ?? "") ? [index] : []));
  if (ours.length === 0) return [];
  if (ours.length === items.length) return [emptied(pointer("spec", list), was)];
  return ours.reverse().map((index) => ({ op: "remove", path: pointer("spec", list, index) }));
}

function unannotate(pod: JsonObject, was: JsonObject): readonly PatchOperation[] {
  const metadata = objectAt(pod, "metadata");
  const annotations = objectAt(metadata, "annotations");
  const patch: PatchOperation[] = [];
  let left = Object.keys(annotations).length;
  for (const name of [INJECTED_ANNOTATION, ORIGINAL_ANNOTATION, ...DEFAULT_CONTAINER_ANNOTATIONS]) {
    if (!Object.hasOwn(annotations, name)) continue;
    const path = pointer("metadata", "annotations", name);
    if (Object.hasOwn(was, path)) patch.push({ op: "add", path, value: was[path] });
    else {
      patch.push({ op: "remove", path });
      left--;
    }
  }
  if (patch.length === 0 || left > 0) return patch;
  if (Object.keys(metadata).length > 1 || Object.hasOwn(was, "/metadata/annotations")) {
    return [emptied("/metadata/annotations", was)];
  }
  return [emptied("/metadata", was)];
}

/** Nothing of the user's is left in it: as it was, or gone. */
function emptied(path: string, was: JsonObject): PatchOperation {
  return Object.hasOwn(was, path) ? { op: "add", path, value: was[path] } : { op: "remove", path };
}

function splice([start, end, replaced = ""]: Cut, valueStart: number, valueEnd: number): Splice {
  const offset = start + (start < 0 ? valueStart : valueEnd);
  return { offset, text: replaced, remove: end + (end < 0 ? valueStart : valueEnd) - offset };
}

/** Offsets of a document in its text. */
interface Part {
  readonly from: number;
  readonly to: number;
}

/** The cuts stay inside the document, and give what the patch gives: else somebody has edited the text since. */
function isExact(
  manifest: Manifest,
  { from, to }: Part,
  document: Document,
  cuts: readonly Splice[],
  patch: readonly PatchOperation[],
): boolean {
  let at = from;
  for (const cut of cuts.toSorted((a, b) => a.offset - b.offset)) {
    if (cut.offset < at || cut.remove < 0 || cut.offset + cut.remove > to) return false;
    at = cut.offset + cut.remove;
  }
  const moved = cuts.map((cut) => ({ ...cut, offset: cut.offset - from }));
  const cut = spliceText(manifest.text.slice(from, to), moved);
  const parsed = parseAllDocuments(cut, { merge: true, logLevel: "error" });
  const [restored] = "empty" in parsed ? [] : parsed;
  if (restored === undefined || parsed.length !== 1 || restored.errors.length > 0) return false;
  const wanted = applyPatch(plainValue(manifest, document), patch);
  try {
    return equal(plainValue(manifest, restored), wanted);
  } catch (error) {
    if (error instanceof InjectError) return false;
    throw error;
  }
}

/** The whole document printed anew, comments kept; JSON stays JSON. */
function reprinted(
  manifest: Manifest,
  { from, to }: Part,
  document: Document,
  patch: readonly PatchOperation[],
): Splice {
  const source = manifest.text.slice(from, to);
  const wanted: unknown = applyPatch(plainValue(manifest, document), patch);
  return { offset: from, text: asJson(source, wanted) ?? asYaml(manifest, document, patch, wanted), remove: to - from };
}

function asJson(source: string, wanted: unknown): string | undefined {
  try {
    JSON.parse(source);
  } catch {
    return undefined;
  }
  const indent = /^[ \t]*[[{]\r?\n([ \t]+)/.exec(source)?.[1];
  return JSON.stringify(wanted, null, indent) + (source.endsWith("\n") ? "\n" : "");
}

function asYaml(manifest: Manifest, document: Document, patch: readonly PatchOperation[], wanted: unknown): string {
  for (const operation of patch) {
    const steps = stepsOf(operation.path);
    if (operation.op === "remove") document.deleteIn(steps);
    else document.setIn(steps, document.createNode(operation.value));
  }
  if (!equal(plainValue(manifest, document), wanted)) document.contents = document.createNode(wanted) as never;
  return document.toString({ lineWidth: 0 });
}

function equal(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((value, index) => equal(value, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

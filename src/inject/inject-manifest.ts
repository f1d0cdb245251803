/** Manifests in, meshed manifests out: finds the pods of every document and splices the sidecar into the text. */
import { injectPod } from "./inject-pod.ts";
import type { JsonObject } from "./json.ts";
import { onPod, parseManifest, podsOf } from "./manifest.ts";
import { type Cut, encodeOriginal } from "./original.ts";
import type { InjectConfig } from "./sidecar.ts";
import { inOrder, type Splice, sharedAnchors, splicesOf, spliceText } from "./splice.ts";

export interface InjectResult {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  /** Line of the object, from 1. */
  readonly line: number;
  readonly outcome: "injected" | "already" | "disabled";
  readonly why?: string;
  readonly warnings: readonly string[];
}

export interface InjectedManifest {
  readonly text: string;
  /** One for each pod or template; documents of other kinds are passed through unnamed. */
  readonly results: readonly InjectResult[];
}

/** Stands in the spliced text for the record of the splices themselves. */
const RECORD = "the-record-goes-here";

/** Injects every pod of the text. One that must not be injected refuses the whole text: throws InjectError with `name:line:column`. */
export function injectManifest(text: string, config: InjectConfig, name = "-"): InjectedManifest {
  const manifest = parseManifest(text, name);
  const splices: Splice[] = [];
  const results: InjectResult[] = [];
  // A List may hold a thousand pods: what is asked of the whole document is asked once.
  const holders = manifest.documents.flatMap((document) => {
    const shared = sharedAnchors(document);
    return [...podsOf(manifest, document)].map((holder) => ({ holder, shared }));
  });
  for (const { holder, shared } of holders) {
    onPod(manifest, holder, () => {
      let was: JsonObject = {};
      const injection = injectPod(holder.pod(), config, (found) => {
        was = found;
        return RECORD;
      });
      const { kind, namespace, node, offset, at } = holder;
      const about = { kind, name: holder.name, namespace, line: manifest.lineOf(offset) };
      if (injection.outcome === "injected") {
        const patch = injection.patch.map((one) => ({ ...one, path: at + one.path }));
        splices.push(...recorded(text, splicesOf(text, manifest.lineEnd, shared, node, patch), was));
        results.push({ ...about, outcome: "injected", warnings: injection.warnings });
      } else if (injection.outcome === "repaired") {
        const again = "it was changed after it was injected: `tulle uninject` it, then inject it again";
        results.push({ ...about, outcome: "already", warnings: [again] });
      } else {
        const why = injection.outcome === "disabled" ? { why: injection.why } : {};
        results.push({ ...about, outcome: injection.outcome, ...why, warnings: [] });
      }
    });
  }
  return { text: spliceText(text, splices), results };
}

/** The splices of one pod, with their own record in the place that was left for it. */
function recorded(source: string, unordered: readonly Splice[], was: JsonObject): readonly Splice[] {
  const splices = inOrder(unordered);
  const own = splices.findIndex((splice) => splice.text.includes(RECORD));
  const text = (splices[own] as Splice).text;
  // In JSON the token has quotes around it.
  const bare = text.indexOf(RECORD);
  const quoted = text[bare - 1] === '"';
  const opens = quoted ? bare - 1 : bare;
  const closes = bare + RECORD.length + (quoted ? 1 : 0);
  const cuts: Cut[] = [];
  let grown = 0;
  const starts = splices.map((splice) => {
    const start = splice.offset + grown;
    grown += splice.text.length - splice.remove;
    return start;
  });
  const valueStart = (starts[own] as number) + opens;
  const valueEnd = (starts[own] as number) + closes;
  splices.forEach((splice, index) => {
    const start = starts[index] as number;
    const end = start + splice.text.length;
    const replaced = source.slice(splice.offset, splice.offset + splice.remove);
    const from = start - (index <= own ? valueStart : valueEnd);
    const to = end - (index < own ? valueStart : valueEnd);
    cuts.push(replaced === "" ? [from, to] : [from, to, replaced]);
  });
  const value = encodeOriginal({ was, cuts });
  const written = quoted ? JSON.stringify(value) : `'${value.replaceAll("'", "''")}'`;
  return splices.with(own, { ...(splices[own] as Splice), text: text.slice(0, opens) + written + text.slice(closes) });
}

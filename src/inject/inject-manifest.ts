/** Manifests in, meshed manifests out: finds the pods of every document and splices the sidecar into the text. */
import { isMap, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";
import { InjectError } from "./errors.ts";
import { injectPod } from "./inject-pod.ts";
import { isObject } from "./json.ts";
import type { InjectConfig } from "./sidecar.ts";
import { type Splice, splicesOf, spliceText } from "./splice.ts";

/** Where a kind keeps its pod template; an empty path is the object itself. */
const POD_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
};

export interface InjectResult {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  /** Line of the object, from 1. */
  readonly line: number;
  readonly outcome: "injected" | "already" | "disabled";
  readonly why?: string;
}

export interface InjectedManifest {
  readonly text: string;
  /** One for each pod or template; documents of other kinds are passed through unnamed. */
  readonly results: readonly InjectResult[];
}

/** Injects every pod of the text. One that must not be injected refuses the whole text: throws InjectError with `name:line:column`. */
export function injectManifest(text: string, config: InjectConfig, name = "-"): InjectedManifest {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const lineEnd = text.includes("\r\n") ? "\r\n" : "\n";
  const splices: Splice[] = [];
  const results: InjectResult[] = [];
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  for (const document of "empty" in documents ? [] : documents) {
    const broken = document.errors[0];
    if (broken !== undefined)
      throw new InjectError("malformed-yaml", `${place(broken.pos[0])}: malformed YAML: ${broken.message}`);
    for (const node of objectsOf(document.contents as Node | null)) {
      const kind = String(isMap(node) ? node.get("kind") : "");
      const path = Object.hasOwn(POD_PATHS, kind) ? POD_PATHS[kind] : undefined;
      if (path === undefined || !isMap(node)) continue;
      const offset = node.range?.[0] ?? 0;
      const whole: unknown = node.toJS(document, { maxAliasCount: 100 });
      const metadata = isObject(whole) && isObject(whole["metadata"]) ? whole["metadata"] : {};
      const subject = `${kind}/${String(metadata["name"] ?? metadata["generateName"] ?? "?")}`;
      try {
        const template: unknown = path.reduce<unknown>(
          (value, step) => (isObject(value) ? value[step] : undefined),
          whole,
        );
        const target = path.length === 0 ? node : (node.getIn(path, true) as Node | undefined);
        if (!isObject(template) || target === undefined)
          throw new InjectError("bad-pod", `${path.join(".")} is missing`);
        const injection = injectPod(template, config);
        if (injection.outcome === "injected") {
          const prefix = path.map((step) => `/${step}`).join("");
          const patch = injection.patch.map((one) => ({ ...one, path: prefix + one.path }));
          splices.push(...splicesOf(text, lineEnd, document, node, patch));
        }
        results.push({
          kind,
          name: String(metadata["name"] ?? metadata["generateName"] ?? ""),
          namespace: typeof metadata["namespace"] === "string" ? metadata["namespace"] : undefined,
          line: lines.linePos(offset).line,
          outcome: injection.outcome,
          ...(injection.outcome === "disabled" ? { why: injection.why } : {}),
        });
      } catch (error) {
        if (!(error instanceof InjectError)) throw error;
        throw new InjectError(error.code, `${place(offset)}: ${subject}: ${error.message}`);
      }
    }
  }
  return { text: spliceText(text, splices), results };
}

/** The document itself, or the items of a List, however deep. */
function objectsOf(node: Node | null): readonly Node[] {
  if (node === null) return [];
  if (!isMap(node) || node.get("kind") !== "List") return [node];
  const items = node.get("items", true);
  return isSeq(items) ? items.items.flatMap((item) => objectsOf(item as Node)) : [];
}

/** Pod → meshed pod, as a JSON patch. The decision whether its namespace wants the mesh is the caller's. */
import {
  ENV,
  INIT_CONTAINER,
  INJECT_LABEL,
  INJECTED_ANNOTATION,
  ORIGINAL_ANNOTATION,
  PROXY_CONTAINER,
} from "../mesh/index.ts";
import { type PodSettings, readAnnotations, unknownAnnotations } from "./annotations.ts";
import { InjectError } from "./errors.ts";
import { isObject, type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { encodeOriginal } from "./original.ts";
import { type PatchOperation, pointer } from "./patch.ts";
import { decodeProbes, rewriteProbes } from "./probes.ts";
import { refuse } from "./refuse.ts";
import { type InjectConfig, initContainer, probesVariable, proxyContainer, volumes } from "./sidecar.ts";

export type Injection =
  | {
      readonly outcome: "injected";
      readonly patch: readonly PatchOperation[];
      /** What the user should know; each a sentence without a final stop. */
      readonly warnings: readonly string[];
    }
  /** It was meshed before, and something has been changed since that must be put right. */
  | { readonly outcome: "repaired"; readonly patch: readonly PatchOperation[]; readonly warnings: readonly string[] }
  | { readonly outcome: "already" }
  | { readonly outcome: "disabled"; readonly why: string };

/** Annotations of kubectl: which container `logs` and `exec` mean when none is named. */
export const DEFAULT_CONTAINER_ANNOTATIONS = [
  "kubectl.kubernetes.io/default-container",
  "kubectl.kubernetes.io/default-logs-container",
];

/** What the text of the annotation `tulle.dev/original` is, given what was there before; undefined: it needs none. */
export type RecordOriginal = (was: JsonObject) => string | undefined;

const recordWas: RecordOriginal = (was) =>
  Object.keys(was).length === 0 ? undefined : encodeOriginal({ was, cuts: [] });

/**
 * `pod` is a Pod or a pod template (metadata and spec). A pod that was injected already gives an empty answer, or what
 * puts its containers back in front and leads new probes to the proxy. Throws InjectError when it must not be meshed.
 */
export function injectPod(pod: JsonObject, config: InjectConfig, record: RecordOriginal = recordWas): Injection {
  const found = examine(pod);
  if (found.outcome === "disabled") return found;
  const spec = objectAt(pod, "spec");
  if (found.outcome === "sidecar") return repair(spec);
  const { settings, rewrite } = found;
  const annotations = objectAt(objectAt(pod, "metadata"), "annotations");
  const application = textAt(objectsAt(spec, "containers")[0], "name") ?? "";
  const original = record(whatWas(pod));
  const wanted = {
    [INJECTED_ANNOTATION]: config.version,
    ...(original === undefined ? {} : { [ORIGINAL_ANNOTATION]: original }),
    ...Object.fromEntries(
      DEFAULT_CONTAINER_ANNOTATIONS.filter((name) => annotations[name] === undefined).map((name) => [
        name,
        application,
      ]),
    ),
  };
  return {
    outcome: "injected",
    patch: [
      ...rewrite.patch,
      ...annotate(pod, wanted),
      ...prepend(spec, "initContainers", [
        initContainer(config, settings),
        proxyContainer(config, settings, rewrite.probes),
      ]),
      ...prepend(spec, "volumes", volumes()),
    ],
    warnings: [
      ...rewrite.warnings,
      ...unknownAnnotations(annotations).map((name) => `annotation ${name} is unknown: nothing reads it`),
    ],
  };
}

type Examined =
  | { readonly outcome: "disabled"; readonly why: string }
  /** It has init container and sidecar. */
  | { readonly outcome: "sidecar" }
  | { readonly outcome: "free"; readonly settings: PodSettings; readonly rewrite: ReturnType<typeof rewriteProbes> };

/** What is to be known before anything is added to the pod. Throws InjectError when it must not be meshed. */
export function examine(pod: JsonObject): Examined {
  const metadata = objectAt(pod, "metadata");
  const spec = objectAt(pod, "spec");
  const label = objectAt(metadata, "labels")[INJECT_LABEL];
  if (label === "disabled") return { outcome: "disabled", why: `label ${INJECT_LABEL}: disabled` };
  if (label !== undefined && label !== "enabled") {
    throw new InjectError(
      "bad-label",
      `label ${INJECT_LABEL} is ${JSON.stringify(label)}; allowed is enabled, disabled`,
    );
  }
  if (hasSidecar(spec)) return { outcome: "sidecar" };
  refuse(pod);
  return {
    outcome: "free",
    settings: readAnnotations(objectAt(metadata, "annotations")),
    rewrite: rewriteProbes(spec),
  };
}

/** True when the pod's spec holds containers of both names, as the injector leaves them (never decided by label). */
export function hasSidecar(spec: JsonObject): boolean {
  const names = objectsAt(spec, "initContainers").map((container) => textAt(container, "name"));
  return names.includes(INIT_CONTAINER) && names.includes(PROXY_CONTAINER);
}

/** Another webhook ran after us: its containers may have come in front, and may have probes of their own. */
function repair(spec: JsonObject): Injection {
  const rewrite = rewriteProbes(spec);
  const patch: PatchOperation[] = [...rewrite.patch];
  const list = spec["initContainers"] as readonly JsonObject[];
  const at = list.findIndex((container) => textAt(container, "name") === PROXY_CONTAINER);
  let proxy = list[at] as JsonObject;
  if (Object.keys(rewrite.probes).length > 0) {
    const env = objectsAt(proxy, "env");
    const index = env.findIndex((one) => one["name"] === ENV.probes);
    const known = decodeProbes(textAt(env[index], "value") ?? "") ?? {};
    const variable = probesVariable({ ...known, ...rewrite.probes });
    proxy = { ...proxy, env: index < 0 ? [...env, variable] : env.with(index, variable) };
  }
  const init = list.find((container) => textAt(container, "name") === INIT_CONTAINER) as JsonObject;
  const front = [init, proxy];
  if (list[0] === init && list[1] === proxy) {
    return patch.length === 0 ? { outcome: "already" } : { outcome: "repaired", patch, warnings: rewrite.warnings };
  }
  // From the back, so that the indexes before stay true.
  for (let index = list.length - 1; index >= 0; index--) {
    const name = textAt(list[index], "name");
    if (name === INIT_CONTAINER || name === PROXY_CONTAINER) {
      patch.push({ op: "remove", path: pointer("spec", "initContainers", index) });
    }
  }
  patch.push(
    ...front.map((value, index) => ({ op: "add", path: pointer("spec", "initContainers", index), value }) as const),
  );
  return { outcome: "repaired", patch, warnings: rewrite.warnings };
}

/** What an injected pod alone would not tell: lists and maps that were there, though empty, and annotations we share. */
function whatWas(pod: JsonObject): JsonObject {
  const was: Record<string, unknown> = {};
  const note = (holder: unknown, key: string, ...steps: readonly string[]) => {
    if (!isObject(holder) || !Object.hasOwn(holder, key)) return;
    const value = holder[key];
    if (value === null || (typeof value === "object" && Object.keys(value).length === 0))
      was[pointer(...steps, key)] = value;
  };
  note(pod, "metadata");
  note(pod["metadata"], "annotations", "metadata");
  note(pod["spec"], "initContainers", "spec");
  note(pod["spec"], "volumes", "spec");
  const annotations = objectAt(objectAt(pod, "metadata"), "annotations");
  for (const name of [INJECTED_ANNOTATION, ORIGINAL_ANNOTATION, ...DEFAULT_CONTAINER_ANNOTATIONS]) {
    if (Object.hasOwn(annotations, name)) was[pointer("metadata", "annotations", name)] = annotations[name];
  }
  return was;
}

function annotate(pod: JsonObject, wanted: Readonly<Record<string, string>>): readonly PatchOperation[] {
  const { metadata } = pod;
  if (!isObject(metadata)) return [{ op: "add", path: "/metadata", value: { annotations: wanted } }];
  if (!isObject(metadata["annotations"])) return [{ op: "add", path: "/metadata/annotations", value: wanted }];
  return Object.entries(wanted).map(([name, value]) => ({
    op: "add",
    path: pointer("metadata", "annotations", name),
    value,
  }));
}

/** Puts the items in front of the list, which is made when it is absent or null. */
function prepend(spec: JsonObject, list: string, items: readonly object[]): readonly PatchOperation[] {
  if (!Array.isArray(spec[list])) return [{ op: "add", path: pointer("spec", list), value: items }];
  return items.map((value, index) => ({ op: "add", path: pointer("spec", list, index), value }));
}

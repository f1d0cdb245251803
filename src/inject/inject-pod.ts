/** Pod → meshed pod, as a JSON patch. The decision whether its namespace wants the mesh is the caller's. */
import { INIT_CONTAINER, INJECT_LABEL, INJECTED_ANNOTATION, PROXY_CONTAINER } from "../mesh/index.ts";
import { readAnnotations } from "./annotations.ts";
import { isObject, type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { type PatchOperation, pointer } from "./patch.ts";
import { refuse } from "./refuse.ts";
import { type InjectConfig, initContainer, proxyContainer, volumes } from "./sidecar.ts";

export type Injection =
  | { readonly outcome: "injected"; readonly patch: readonly PatchOperation[] }
  | { readonly outcome: "already" }
  | { readonly outcome: "disabled"; readonly why: string };

/** Annotations of kubectl: which container `logs` and `exec` mean when none is named. */
const DEFAULT_CONTAINER = ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"];

/** `pod` is a Pod or a pod template (metadata and spec). Throws InjectError when it must not be meshed. */
export function injectPod(pod: JsonObject, config: InjectConfig): Injection {
  const metadata = objectAt(pod, "metadata");
  const spec = objectAt(pod, "spec");
  if (objectAt(metadata, "labels")[INJECT_LABEL] === "disabled") {
    return { outcome: "disabled", why: `label ${INJECT_LABEL}: disabled` };
  }
  if (hasSidecar(spec)) return { outcome: "already" };
  refuse(metadata, spec);
  const annotations = objectAt(metadata, "annotations");
  const settings = readAnnotations(annotations);
  const application = textAt(objectsAt(spec, "containers")[0], "name") ?? "";
  const wanted = {
    [INJECTED_ANNOTATION]: config.version,
    ...Object.fromEntries(
      DEFAULT_CONTAINER.filter((name) => annotations[name] === undefined).map((name) => [name, application]),
    ),
  };
  return {
    outcome: "injected",
    patch: [
      ...annotate(pod, wanted),
      ...prepend(spec, "initContainers", [initContainer(config, settings), proxyContainer(config, settings)]),
      ...prepend(spec, "volumes", volumes()),
    ],
  };
}

/** True when the pod's spec holds init container and sidecar: what makes a pod meshed (never a label). */
export function hasSidecar(spec: JsonObject): boolean {
  const names = objectsAt(spec, "initContainers").map((container) => textAt(container, "name"));
  return names.includes(INIT_CONTAINER) && names.includes(PROXY_CONTAINER);
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

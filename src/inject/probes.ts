/**
 * Probes and lifecycle handlers of the application, led to the proxy: the kubelet is no member of the mesh, so a strict pod
 * would refuse it. Each handler is replaced as a whole by a GET on 15020; the original travels to the proxy.
 */
import {
  type AppProbe,
  type AppProbes,
  HOOK_WORDS,
  hookPath,
  INIT_CONTAINER,
  PORTS,
  PROBE_WORDS,
  PROXY_CONTAINER,
  probePath,
  RESERVED_PORTS,
} from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import { isObject, type JsonObject, objectAt, objectsAt, textAt } from "./json.ts";
import { type PatchOperation, pointer } from "./patch.ts";

const NETWORK_HANDLERS = ["httpGet", "tcpSocket", "grpc"] as const;

/** A place in a pod where the kubelet connects to it. */
interface Place {
  readonly container: JsonObject;
  /** `liveness probe`, for a message. */
  readonly what: string;
  /** Pointer to the object that holds the handler. */
  readonly at: string;
  readonly holder: JsonObject;
  /** Path on which the proxy answers for it. */
  readonly path: string;
  readonly hook: boolean;
}

export interface Rewrite {
  readonly patch: readonly PatchOperation[];
  readonly probes: AppProbes;
  /** Why a handler was left as it was. */
  readonly warnings: readonly string[];
}

/** The patch of one pod spec, whose paths are those before anything else is patched. Throws InjectError `reserved-port`. */
export function rewriteProbes(spec: JsonObject): Rewrite {
  const patch: PatchOperation[] = [];
  const probes: Record<string, AppProbe> = {};
  const warnings: string[] = [];
  for (const place of placesOf(spec)) {
    const { container, holder, at, path, hook } = place;
    const there = [...NETWORK_HANDLERS, "exec"].filter((name) => isObject(holder[name]));
    const kind = NETWORK_HANDLERS.find((name) => name === there[0]);
    // exec needs no network. What has two handlers, or a hook that is no GET, is refused by the API server or the kubelet.
    if (kind === undefined || there.length !== 1 || (hook && kind !== "httpGet")) continue;
    const handler = objectAt(holder, kind);
    if (isLed(holder, path)) continue;
    const host = textAt(handler, "host") ?? "";
    if (host !== "") {
      warnings.push(`the ${place.what} goes to host ${host}: it is left to the kubelet`);
      continue;
    }
    const port = portOf(handler["port"], container);
    if (port === undefined) {
      warnings.push(`the ${place.what} names a port that the container does not declare: it is left as it is`);
      continue;
    }
    if (port >= RESERVED_PORTS.first && port <= RESERVED_PORTS.last) {
      throw new InjectError("reserved-port", `the ${place.what} uses port ${port}`);
    }
    const seconds = holder["timeoutSeconds"];
    probes[path] = {
      [kind]: handler,
      port,
      // The kubelet's default.
      ...(hook ? {} : { timeoutSeconds: typeof seconds === "number" && seconds > 0 ? seconds : 1 }),
    };
    if (kind !== "httpGet") patch.push({ op: "remove", path: at + pointer(kind) });
    patch.push({ op: "add", path: `${at}/httpGet`, value: { path, port: PORTS.metrics } });
  }
  return { patch, probes, warnings };
}

/** The patch that gives every handler back. Throws InjectError `bad-record` when the original of one is lost. */
export function restoreProbes(spec: JsonObject, probes: AppProbes): readonly PatchOperation[] {
  const patch: PatchOperation[] = [];
  for (const { at, holder, path, what } of placesOf(spec)) {
    if (!isLed(holder, path)) continue;
    const original = Object.hasOwn(probes, path) ? probes[path] : undefined;
    const kind = NETWORK_HANDLERS.find((name) => original?.[name] !== undefined);
    if (original === undefined || kind === undefined) {
      throw new InjectError("bad-record", `the ${what} is led to the proxy, which no longer knows the original`);
    }
    if (kind !== "httpGet") patch.push({ op: "remove", path: `${at}/httpGet` });
    patch.push({ op: "add", path: at + pointer(kind), value: original[kind] });
  }
  return patch;
}

/**
 * The handlers as one environment variable. Kubernetes expands `$(NAME)` in values, so no `$` may be in it: JSON can spell
 * it otherwise.
 */
export function encodeProbes(probes: AppProbes): string {
  return JSON.stringify(probes).replaceAll("$", "\\u0024");
}

/** Undefined when it is no object in JSON. */
export function decodeProbes(text: string): AppProbes | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? (value as unknown as AppProbes) : undefined;
  } catch {
    return undefined;
  }
}

function* placesOf(spec: JsonObject): Iterable<Place> {
  for (const list of ["initContainers", "containers"]) {
    const found = spec[list];
    for (const [index, container] of (Array.isArray(found) ? found : []).entries()) {
      const name = textAt(container, "name");
      if (!isObject(container) || name === undefined || name === INIT_CONTAINER || name === PROXY_CONTAINER) continue;
      const place = (holder: string[], what: string, path: string, hook: boolean): Place | undefined => {
        const found = holder.reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), container);
        if (!isObject(found)) return undefined;
        const at = pointer("spec", list, index, ...holder);
        return { container, what: `${what} of container ${name}`, at, holder: found, path, hook };
      };
      for (const [field, word] of Object.entries(PROBE_WORDS)) {
        const one = place([field], field.replace("Probe", " probe"), probePath(name, word), false);
        if (one !== undefined) yield one;
      }
      for (const [field, word] of Object.entries(HOOK_WORDS)) {
        const one = place(["lifecycle", field], `${field} handler`, hookPath(name, word), true);
        if (one !== undefined) yield one;
      }
    }
  }
}

/** The handler is ours already. */
function isLed(holder: JsonObject, path: string): boolean {
  const get = objectAt(holder, "httpGet");
  return get["path"] === path && get["port"] === PORTS.metrics;
}

/** As the kubelet resolves it: a number, the name of one of the container's ports, or a number written as text. */
function portOf(port: unknown, container: JsonObject): number | undefined {
  const named = objectsAt(container, "ports").find((one) => typeof port === "string" && one["name"] === port);
  const number = named?.["containerPort"] ?? (typeof port === "string" && /^\d{1,5}$/.test(port) ? Number(port) : port);
  return typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 65535 ? number : undefined;
}

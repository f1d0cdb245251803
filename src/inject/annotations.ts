/** The one table of annotations and labels of pods: what each means, what it may say, and how it is read. */
import {
  INJECT_LABEL,
  INJECTED_ANNOTATION,
  LOG_LEVELS,
  type LogLevel,
  MODE_LABEL,
  ORIGINAL_ANNOTATION,
  parseCidr,
  SKIP_INBOUND_PORTS_ANNOTATION,
} from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import type { JsonObject } from "./json.ts";
import { parseQuantity, type Quantity } from "./quantity.ts";

/** One annotation that a pod may carry. `read` answers the value, or undefined when the text is not allowed. */
interface Annotation<T> {
  readonly name: string;
  /** What is allowed, as the refusal and the reference say it. */
  readonly allowed: string;
  readonly example: string;
  /** One or two sentences for the reference. */
  readonly text: string;
  readonly read: (text: string) => T | undefined;
}

const PORTS_ALLOWED = "ports and ranges from 1 to 65535, separated by commas";
const CIDRS_ALLOWED = "addresses and CIDR ranges of both families, separated by commas";
const CPU_ALLOWED = "a quantity of CPU above 0, such as 100m or 0.5";
const MEMORY_ALLOWED = "a quantity of bytes above 0, such as 128Mi or 1Gi";

const annotation = <T>(one: Annotation<T>): Annotation<T> => one;

/** Read by the injector. The order is that of the reference. */
export const ANNOTATIONS = {
  mode: annotation<"strict">({
    name: MODE_LABEL,
    allowed: "strict",
    example: "strict",
    text: "Refuses plaintext to this pod, whatever its namespace says. A pod may only tighten: `permissive` is refused.",
    read: (text) => (text === "strict" ? text : undefined),
  }),
  skipInboundPorts: annotation({
    name: SKIP_INBOUND_PORTS_ANNOTATION,
    allowed: PORTS_ALLOWED,
    example: "9100,8000-8010",
    text:
      "Plaintext to these ports of the pod goes straight to the application, past the proxy and its mode. Callers in the mesh " +
      "still come by mutual TLS.",
    read: readPorts,
  }),
  skipOutboundPorts: annotation({
    name: "tulle.dev/skip-outbound-ports",
    allowed: PORTS_ALLOWED,
    example: "3306,5432",
    text: "Connections of the application to these destination ports are not captured: they leave in plaintext.",
    read: readPorts,
  }),
  skipInboundCidrs: annotation({
    name: "tulle.dev/skip-inbound-cidrs",
    allowed: CIDRS_ALLOWED,
    example: "10.0.0.0/24,fd00::/64",
    text: "Plaintext from these sources goes straight to the application, past the proxy and its mode.",
    read: readCidrs,
  }),
  skipOutboundCidrs: annotation({
    name: "tulle.dev/skip-outbound-cidrs",
    allowed: CIDRS_ALLOWED,
    example: "192.0.2.7,198.51.100.0/24",
    text: "Connections of the application to these destinations are not captured: they leave in plaintext.",
    read: readCidrs,
  }),
  logLevel: annotation<LogLevel>({
    name: "tulle.dev/log-level",
    allowed: LOG_LEVELS.join(", "),
    example: "debug",
    text: "What the sidecar logs. `info` unless set.",
    read: (text) => LOG_LEVELS.find((level) => level === text),
  }),
  image: annotation({
    name: "tulle.dev/image",
    allowed: "an image reference without spaces",
    example: "registry.example.com/tulle:0.1.0",
    text: "Image of init container and sidecar of this pod, instead of the mesh's.",
    read: readImage,
  }),
  cpuRequest: annotation({
    name: "tulle.dev/proxy-cpu-request",
    allowed: CPU_ALLOWED,
    example: "100m",
    text: "CPU request of the sidecar. `20m` unless set.",
    read: readQuantity,
  }),
  cpuLimit: annotation({
    name: "tulle.dev/proxy-cpu-limit",
    allowed: CPU_ALLOWED,
    example: "1",
    text: "CPU limit of the sidecar. None unless set.",
    read: readQuantity,
  }),
  memoryRequest: annotation({
    name: "tulle.dev/proxy-memory-request",
    allowed: MEMORY_ALLOWED,
    example: "128Mi",
    text: "Memory request of the sidecar. `64Mi` unless set.",
    read: readQuantity,
  }),
  memoryLimit: annotation({
    name: "tulle.dev/proxy-memory-limit",
    allowed: MEMORY_ALLOWED,
    example: "1Gi",
    text: "Memory limit of the sidecar. `512Mi` unless set.",
    read: readQuantity,
  }),
} as const;

/** What else carries the prefix on a pod or a namespace, for the reference. */
export const MARKS = [
  {
    name: INJECT_LABEL,
    where: "label of a namespace or a pod",
    text: "`enabled` or `disabled`: whether new pods get the sidecar. The namespace decides; without its word the pod does. A pod may always opt out.",
  },
  {
    name: MODE_LABEL,
    where: "label of a namespace",
    text: "`strict` or `permissive`: what happens to plaintext that reaches its meshed pods.",
  },
  {
    name: INJECTED_ANNOTATION,
    where: "annotation, written by the injector",
    text: "Version that injected the pod.",
  },
  {
    name: ORIGINAL_ANNOTATION,
    where: "annotation, written by the injector",
    text: "What `tulle uninject` needs beside the text itself to give the original back. Absent when it needs nothing.",
  },
] as const;

type Table = typeof ANNOTATIONS;
/** What the annotations say; absent and blank are undefined. */
export type PodSettings = {
  readonly [Key in keyof Table]: Exclude<ReturnType<Table[Key]["read"]>, undefined> | undefined;
};

/** Reads them. Throws InjectError `bad-annotation`. */
export function readAnnotations(annotations: JsonObject): PodSettings {
  const settings: Record<string, unknown> = {};
  for (const [key, one] of Object.entries(ANNOTATIONS)) {
    const found = annotations[one.name];
    if (found === undefined || found === null) continue;
    if (typeof found !== "string") throw bad(one.name, found, "a quoted string");
    if (found.trim() === "") continue;
    const value = (one.read as (text: string) => unknown)(found.trim());
    if (value === undefined) {
      const why = one === ANNOTATIONS.mode ? ": a pod may only tighten what its namespace says" : "";
      throw bad(one.name, found, `${one.allowed}${why}`);
    }
    settings[key] = value;
  }
  const read = settings as unknown as PodSettings;
  inOrder("cpu", read.cpuRequest, read.cpuLimit);
  inOrder("memory", read.memoryRequest, read.memoryLimit);
  return read;
}

/** Annotations under the mesh's prefix that nothing reads: most likely misspelt. */
export function unknownAnnotations(annotations: JsonObject): readonly string[] {
  const known = new Set<string>([...Object.values(ANNOTATIONS), ...MARKS].map((one) => one.name));
  return Object.keys(annotations).filter((name) => name.startsWith("tulle.dev/") && !known.has(name));
}

function inOrder(what: string, request: Quantity | undefined, limit: Quantity | undefined): void {
  if (request === undefined || limit === undefined || request.value <= limit.value) return;
  throw new InjectError(
    "bad-annotation",
    `annotation tulle.dev/proxy-${what}-request is ${request.text}, more than tulle.dev/proxy-${what}-limit, ${limit.text}`,
  );
}

/** Normalised: no spaces, and a range of one port is that port. */
function readPorts(text: string): string | undefined {
  const parts: string[] = [];
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first < 1 || last > 65535 || first > last) return undefined;
    parts.push(first === last ? `${first}` : `${first}-${last}`);
  }
  return parts.join(",");
}

function readCidrs(text: string): string | undefined {
  const parts = text.split(",").map((part) => part.trim());
  return parts.every((part) => parseCidr(part) !== undefined) ? parts.join(",") : undefined;
}

function readImage(text: string): string | undefined {
  return isImage(text) ? text : undefined;
}

/** Whether a text can be an image reference. */
export function isImage(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,510}$/.test(text);
}

function readQuantity(text: string): Quantity | undefined {
  const quantity = parseQuantity(text);
  return quantity !== undefined && quantity.value > 0 ? quantity : undefined;
}

function bad(name: string, value: unknown, allowed: string): InjectError {
  return new InjectError("bad-annotation", `annotation ${name} is ${JSON.stringify(value)}; allowed is ${allowed}`);
}

/** The annotations by which a pod tunes its sidecar; a wrong value is refused with what is allowed. */
import {
  LOG_LEVEL_ANNOTATION,
  LOG_LEVELS,
  MODE_LABEL,
  SKIP_INBOUND_PORTS_ANNOTATION,
  SKIP_OUTBOUND_PORTS_ANNOTATION,
} from "../mesh/index.ts";
import { InjectError } from "./errors.ts";
import type { JsonObject } from "./json.ts";

export interface PodSettings {
  /** `80,8000-8010`, or undefined. */
  readonly skipInboundPorts: string | undefined;
  readonly skipOutboundPorts: string | undefined;
  readonly logLevel: string | undefined;
}

/** Reads them; throws InjectError `bad-annotation`. */
export function readAnnotations(annotations: JsonObject): PodSettings {
  const value = (name: string): string | undefined => {
    const found = annotations[name];
    if (found === undefined) return undefined;
    if (typeof found !== "string") throw bad(name, found, "a quoted string");
    return found;
  };
  const mode = value(MODE_LABEL);
  if (mode !== undefined && mode !== "strict") {
    const why = mode === "permissive" ? "strict: a pod may only tighten what its namespace says" : "strict";
    throw bad(MODE_LABEL, mode, why);
  }
  const logLevel = value(LOG_LEVEL_ANNOTATION);
  if (logLevel !== undefined && !(LOG_LEVELS as readonly string[]).includes(logLevel)) {
    throw bad(LOG_LEVEL_ANNOTATION, logLevel, LOG_LEVELS.join(", "));
  }
  const ports = (name: string): string | undefined => {
    const text = value(name);
    return text === undefined || text.trim() === "" ? undefined : normalPorts(name, text);
  };
  return {
    skipInboundPorts: ports(SKIP_INBOUND_PORTS_ANNOTATION),
    skipOutboundPorts: ports(SKIP_OUTBOUND_PORTS_ANNOTATION),
    logLevel,
  };
}

function normalPorts(name: string, text: string): string {
  const allowed = "ports and ranges from 1 to 65535 such as 3306,8000-8010";
  return text
    .split(",")
    .map((part) => {
      const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
      const first = Number(match?.[1]);
      const last = Number(match?.[2] ?? match?.[1]);
      if (match === null || first < 1 || last > 65535 || first > last) throw bad(name, text, allowed);
      return first === last ? `${first}` : `${first}-${last}`;
    })
    .join(",");
}

function bad(name: string, value: unknown, allowed: string): InjectError {
  return new InjectError("bad-annotation", `annotation ${name} is ${JSON.stringify(value)}; allowed is ${allowed}`);
}

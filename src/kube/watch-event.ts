/** The events of a watch, one JSON object a line (metav1.WatchEvent). */
import { KubeError } from "./errors.ts";
import type { KubeObject } from "./object.ts";
import type { Status } from "./status.ts";

export type WatchEvent<T extends KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  /** Nothing changed up to this resource version. */
  | { readonly type: "BOOKMARK"; readonly object: { readonly metadata: { readonly resourceVersion: string } } }
  | { readonly type: "ERROR"; readonly object: Status };

/** Throws `bad-answer`, without the line: it may be a Secret. */
export function parseWatchEvent<T extends KubeObject>(line: string): WatchEvent<T> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw garbage(line, "is not JSON");
  }
  if (!isRecord(value) || !isRecord(value["object"])) throw garbage(line, "is no watch event");
  const { type, object } = value;
  switch (type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      if (!isRecord(object["metadata"]) || typeof object["metadata"]["name"] !== "string")
        throw garbage(line, "holds an object without a name");
      return value as unknown as WatchEvent<T>;
    case "BOOKMARK":
      if (!isRecord(object["metadata"]) || typeof object["metadata"]["resourceVersion"] !== "string")
        throw garbage(line, "is a bookmark without a resource version");
      return value as unknown as WatchEvent<T>;
    case "ERROR":
      return value as unknown as WatchEvent<T>;
    default:
      throw garbage(line, "is an event of a type unknown to Tulle");
  }
}

function garbage(line: string, what: string): KubeError {
  return new KubeError("bad-answer", `a line of the watch (${line.length} characters) ${what}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

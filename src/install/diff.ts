/** What differs between two states of an object, as far as a person would say that it was changed. */
import { isMap } from "./values/merge.ts";

export interface Difference {
  /** `spec.template.spec.containers[operator].image`. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** What the API server notes for itself. */
const OF_THE_SERVER = ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];

/** Lists of named things are compared by name, others as a whole. Absent is undefined. */
export function differences(before: unknown, after: unknown, path = ""): readonly Difference[] {
  if (isMap(before) && isMap(after)) {
    return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => {
      if (path === "" && key === "status") return [];
      if (path === "metadata" && OF_THE_SERVER.includes(key)) return [];
      return differences(before[key], after[key], path === "" ? key : `${path}.${key}`);
    });
  }
  const named = [byName(before), byName(after)] as const;
  if (named[0] !== undefined && named[1] !== undefined) {
    const [old, fresh] = named;
    return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((name) =>
      differences(old.get(name), fresh.get(name), `${path}[${name}]`),
    );
  }
  return Bun.deepEquals(before, after) ? [] : [{ path, before, after }];
}

function byName(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (!Array.isArray(value)) return undefined;
  const found = new Map<string, unknown>();
  for (const one of value) {
    const name = isMap(one) ? one["name"] : undefined;
    if (typeof name !== "string" || found.has(name)) return undefined;
    found.set(name, one);
  }
  return found;
}

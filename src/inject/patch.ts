/** JSON patches (RFC 6902), as far as the injector makes them: additions only, so that unknown fields survive. */
import { isObject } from "./json.ts";

export interface PatchOperation {
  readonly op: "add";
  /** JSON pointer (RFC 6901). */
  readonly path: string;
  readonly value: unknown;
}

/** One step of a JSON pointer, escaped (RFC 6901 §3). */
export function pointer(...steps: readonly (string | number)[]): string {
  return steps.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The steps of a JSON pointer. */
export function stepsOf(path: string): readonly string[] {
  return path
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** A patched copy; what the patch does not touch is shared with the original. Throws RangeError on a path that is not there. */
export function applyPatch<T>(target: T, patch: readonly PatchOperation[]): T {
  return patch.reduce<unknown>((value, operation) => add(value, stepsOf(operation.path), operation), target) as T;
}

function add(target: unknown, steps: readonly string[], operation: PatchOperation): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return operation.value;
  if (Array.isArray(target)) {
    const index = Number(step);
    if (!Number.isInteger(index) || index < 0 || index > target.length) throw new RangeError(`no ${operation.path}`);
    return rest.length === 0
      ? target.toSpliced(index, 0, operation.value)
      : target.with(index, add(target[index], rest, operation));
  }
  if (!isObject(target)) throw new RangeError(`no ${operation.path}`);
  return { ...target, [step]: add(target[step], rest, operation) };
}

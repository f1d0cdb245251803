/** JSON patches (RFC 6902), as far as the injector makes them: no `replace` of lists, so that unknown fields survive. */
import { isObject } from "./json.ts";

export type PatchOperation =
  /** Into a list before an index, or as a member of an object, whose old value it replaces (RFC 6902 §4.1). */
  | { readonly op: "add"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

/** One JSON pointer, its steps escaped (RFC 6901 §3). */
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
  return patch.reduce<unknown>((value, operation) => apply(value, stepsOf(operation.path), operation), target) as T;
}

function apply(target: unknown, steps: readonly string[], operation: PatchOperation): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) {
    if (operation.op === "add") return operation.value;
    throw new RangeError("a patch cannot remove the whole");
  }
  if (Array.isArray(target)) {
    const index = Number(step);
    const last = target.length - (rest.length === 0 && operation.op === "add" ? 0 : 1);
    if (!Number.isInteger(index) || index < 0 || index > last) throw new RangeError(`no ${operation.path}`);
    if (rest.length > 0) return target.with(index, apply(target[index], rest, operation));
    return operation.op === "add" ? target.toSpliced(index, 0, operation.value) : target.toSpliced(index, 1);
  }
  if (!isObject(target)) throw new RangeError(`no ${operation.path}`);
  if (rest.length === 0 && operation.op === "remove") {
    if (!Object.hasOwn(target, step)) throw new RangeError(`no ${operation.path}`);
    const { [step]: _removed, ...kept } = target;
    return kept;
  }
  return {
    ...target,
    [step]: rest.length === 0 ? (operation as { value: unknown }).value : apply(target[step], rest, operation),
  };
}

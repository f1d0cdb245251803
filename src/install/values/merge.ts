/** Values as Helm merges them: maps key by key, lists and all else as a whole, null takes a default away. */
import { wrongUse } from "../errors.ts";
import { readYaml } from "../yaml.ts";

export type Values = { readonly [key: string]: unknown };

export function isMap(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The later wins. Neither is changed. */
export function mergeValues(base: Values, over: Values): Values {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    if (value === null && key in base) delete merged[key];
    else merged[key] = isMap(before) && isMap(value) ? mergeValues(before, value) : value;
  }
  return merged;
}

/** A values file; `file` is named in errors. Throws `bad-values`. */
export function parseValues(text: string, file: string): Values {
  const [value = {}, ...more] = readYaml(text, file, "bad-values");
  if (more.length > 0) throw wrongUse("bad-values", `${file} holds more than one document`);
  if (!isMap(value)) throw wrongUse("bad-values", `${file} holds no map of values`);
  return value;
}

/** `--set key=value`, as Helm reads it: dots for maps, [n] for lists, commas between settings, {a,b} for lists, \ escapes. */
import { wrongUse } from "../errors.ts";
import { isMap, type Values } from "./merge.ts";

/** Applies one `--set` argument to the values. With `text` every value stays a string. Throws `bad-set`. */
export function setValues(values: Values, argument: string, text = false): Values {
  let result = values;
  for (const setting of split(argument, ",")) {
    const [key, ...rest] = split(setting, "=");
    if (key === undefined || key.trim() === "" || rest.length === 0)
      throw wrongUse("bad-set", `--set ${argument}: ${setting} is no key=value`, "Write --set mesh.mode=strict.");
    result = put(result, pathOf(key, argument), valueFrom(rest.join("="), text)) as Values;
  }
  return result;
}

/** At a separator that is not escaped and not between braces. Escapes stay. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [""];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charAt(at);
    if (sign === "\\") {
      parts[parts.length - 1] += text.slice(at, at + 2);
      at++;
      continue;
    }
    if (sign === "{") depth++;
    if (sign === "}") depth--;
    if (sign === separator && depth === 0) parts.push("");
    else parts[parts.length - 1] += sign;
  }
  return parts;
}

function plain(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}

type Step = string | number;

function pathOf(key: string, argument: string): readonly Step[] {
  return split(key, ".").flatMap((part): Step[] => {
    const match = /^(.*?)((?:\[\d{1,3}\])*)$/.exec(part);
    const [, name = "", indexes = ""] = match ?? [];
    if (name === "") throw wrongUse("bad-set", `--set ${argument}: ${key} names nothing`);
    return [plain(name), ...[...indexes.matchAll(/\d+/g)].map(([index]) => Number(index))];
  });
}

function valueFrom(text: string, asText: boolean): unknown {
  if (text.startsWith("{") && text.endsWith("}")) {
    return split(text.slice(1, -1), ",").map((part) => scalar(part, asText));
  }
  return scalar(text, asText);
}

/** Numbers with a leading zero stay text, as do those that no number can hold. */
function scalar(text: string, asText: boolean): unknown {
  const value = plain(text);
  if (asText) return value;
  if (value === "true" || value === "false") return value === "true";
  if (value === "null") return null;
  if (/^(0|-?[1-9]\d*)$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
  return value;
}

function put(target: unknown, [step, ...rest]: readonly Step[], value: unknown): unknown {
  if (step === undefined) return value;
  if (typeof step === "number") {
    const list: unknown[] = Array.isArray(target) ? [...target] : [];
    list[step] = put(list[step], rest, value);
    return Array.from(list, (one) => one ?? null);
  }
  const map = isMap(target) ? target : {};
  return { ...map, [step]: put(map[step], rest, value) };
}

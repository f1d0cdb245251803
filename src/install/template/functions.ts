/** The functions that our chart uses, as Helm and its library Sprig define them. */
import { InstallError } from "../errors.ts";
import { writeYaml } from "../yaml.ts";

/** `include` runs a named template, which only the renderer can do. */
export interface Scope {
  include(name: string, dot: unknown): string;
}

type TemplateFunction = (scope: Scope, ...args: readonly unknown[]) => unknown;

export const FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  include: (scope, name, dot) => scope.include(String(name), dot),
  toYaml: (_, value) => writeYaml(value),
  nindent: (_, width, text) => {
    const pad = " ".repeat(Number(width));
    return `\n${String(text).replace(/^/gm, pad)}`;
  },
  quote: (_, value) => JSON.stringify(printed(value)),
  default: (_, fallback, value) => (isEmpty(value) ? fallback : value),
  eq: (_, first, second) => first === second,
  ne: (_, first, second) => first !== second,
  join: (_, separator, list) => (Array.isArray(list) ? list.map(printed).join(String(separator)) : printed(list)),
  printf: (_, format, ...args) => {
    const rest = [...args];
    return String(format).replace(/%s/g, () => printed(rest.shift()));
  },
};

/** What Go's `if` and Sprig's `default` hold for nothing. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Text for the output: a list or a map there is a mistake in the template. */
export function printed(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new InstallError("bad-template", `a template prints ${JSON.stringify(value) ?? "a value that is not there"}`);
}

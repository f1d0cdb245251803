/** Checkers: small functions over the YAML tree that say what is wrong and where. `schema.ts` composes them into tables. */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type YAMLMap } from "yaml";
import type { Problem } from "./problems.ts";

/** One object's check: where problems and notices go. */
export interface Scope {
  readonly file: string;
  readonly lines: LineCounter;
  readonly document: Document;
  readonly subject: string;
  readonly problems: Problem[];
  readonly notices: Problem[];
}

/** Checks one value; `path` is how a user would name it (`spec.ports[0].port`). */
export type Checker = (value: Node, path: string, scope: Scope) => void;

/** Reports a problem at a node. */
export function problem(scope: Scope, node: Node | undefined, what: string): void {
  scope.problems.push(at(scope, node, what));
}

export function at(scope: Scope, node: Node | undefined, what: string): Problem {
  const { line, col } = scope.lines.linePos(node?.range?.[0] ?? 0);
  return { file: scope.file, line, column: col, subject: scope.subject, what };
}

/** The node behind an alias. */
export function resolve(node: Node, scope: Scope): Node {
  return isAlias(node) ? ((node.resolve(scope.document) as Node | undefined) ?? node) : node;
}

function scalar(node: Node): unknown {
  return isScalar(node) ? node.value : undefined;
}

export function text(
  options: { readonly pattern?: RegExp; readonly means?: string; readonly max?: number } = {},
): Checker {
  return (node, path, scope) => {
    const value = scalar(node);
    if (typeof value === "number" || typeof value === "boolean") {
      problem(scope, node, `${path} must be a string; quote it: "${String(value)}"`);
    } else if (typeof value !== "string") {
      problem(scope, node, `${path} must be a string`);
    } else if (options.max !== undefined && value.length > options.max) {
      problem(scope, node, `${path} is longer than ${options.max} characters`);
    } else if (options.pattern !== undefined && !options.pattern.test(value)) {
      problem(scope, node, `${path} "${clip(value)}" is not ${options.means ?? "valid"}`);
    }
  };
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Checker {
  return (node, path, scope) => {
    const value = scalar(node);
    if (typeof value !== "number" || !Number.isInteger(value)) {
      problem(scope, node, `${path} must be a whole number`);
    } else if (value < min || value > max) {
      const range = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `${min} to ${max}`;
      problem(scope, node, `${path} is ${value}; it must be ${range}`);
    }
  };
}

export const bool: Checker = (node, path, scope) => {
  if (typeof scalar(node) !== "boolean") problem(scope, node, `${path} must be true or false, without quotes`);
};

export function only(...words: readonly string[]): Checker {
  return (node, path, scope) => {
    const value = scalar(node);
    if (typeof value !== "string" || !words.includes(value)) {
      problem(
        scope,
        node,
        `${path} is ${clip(String(value))}; it can be ${words.map((word) => word || '""').join(", ")}`,
      );
    }
  };
}

/** A value that must be exactly this, because anything else would change behaviour that `play` does not have. */
export function mustBe(wanted: string | number | boolean, why: string): Checker {
  return (node, path, scope) => {
    if (scalar(node) !== wanted) problem(scope, node, `${path} is not supported by play: ${why}`);
  };
}

/** A field that would change behaviour and cannot be honoured here. */
export function unsupported(why: string): Checker {
  return (node, path, scope) => problem(scope, node, `${path} is not supported by play: ${why}`);
}

/** A field that is accepted and does nothing here: said once per object. */
export function noticed(why: string): Checker {
  return (node, path, scope) => {
    const notice = at(scope, node, `${path}: ${why}`);
    if (!scope.notices.some((one) => one.subject === notice.subject && one.what.endsWith(why)))
      scope.notices.push(notice);
  };
}

/** A field that is passed over in silence as long as it says what play does anyway. */
export function noticedUnless(usual: string | number | boolean, why: string): Checker {
  return (node, path, scope) => {
    if (scalar(node) !== usual) noticed(why)(node, path, scope);
  };
}

/** A field that changes nothing anywhere that matters here. */
export const accepted: Checker = () => {};

export function either(...checkers: readonly Checker[]): Checker {
  return (node, path, scope) => {
    let first: Problem[] | undefined;
    for (const checker of checkers) {
      const problems: Problem[] = [];
      checker(node, path, { ...scope, problems });
      if (problems.length === 0) return;
      first ??= problems;
    }
    scope.problems.push(...(first ?? []));
  };
}

export function list(item: Checker, options: { readonly uniqueBy?: string; readonly min?: number } = {}): Checker {
  return (node, path, scope) => {
    if (!isSeq(node)) return problem(scope, node, `${path} must be a list`);
    if (node.items.length < (options.min ?? 0)) problem(scope, node, `${path} must not be empty`);
    const seen = new Set<unknown>();
    node.items.forEach((entry, index) => {
      const value = resolve(entry as Node, scope);
      item(value, `${path}[${index}]`, scope);
      if (options.uniqueBy === undefined || !isMap(value)) return;
      const key = value.get(options.uniqueBy);
      if (key === undefined) return;
      if (seen.has(key))
        problem(scope, value, `${path}[${index}].${options.uniqueBy} "${clip(String(key))}" is there twice`);
      seen.add(key);
    });
  };
}

/** A map of arbitrary keys. */
export function map(
  value: Checker,
  key: { readonly pattern: RegExp; readonly means: string } | undefined = undefined,
): Checker {
  return (node, path, scope) => {
    if (!isMap(node)) return problem(scope, node, `${path} must be a map`);
    for (const pair of node.items) {
      const name = String(scalar(pair.key as Node));
      if (key !== undefined && !key.pattern.test(name))
        problem(scope, pair.key as Node, `${path}: "${clip(name)}" is not ${key.means}`);
      value(resolve(pair.value as Node, scope), `${path}.${name}`, scope);
    }
  };
}

export interface ObjectRules {
  readonly required?: readonly string[];
  /** Exactly one of these fields must be there. */
  readonly exactlyOne?: readonly string[];
}

/** A map of known fields; an unknown one is named, with the nearest known one. */
export function object(fields: Readonly<Record<string, Checker>>, rules: ObjectRules = {}): Checker {
  return (node, path, scope) => {
    if (!isMap(node)) return problem(scope, node, `${path === "" ? "the document" : path} must be a map`);
    const prefix = path === "" ? "" : `${path}.`;
    for (const pair of node.items) {
      const name = String(scalar(pair.key as Node));
      const checker = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (checker === undefined) {
        const near = nearest(name, Object.keys(fields));
        const hint = near === undefined ? "play does not know it" : `did you mean ${near}?`;
        problem(scope, pair.key as Node, `unknown field ${prefix}${clip(name)}; ${hint}`);
      } else if (pair.value !== null && !(isScalar(pair.value) && pair.value.value === null)) {
        checker(resolve(pair.value as Node, scope), `${prefix}${name}`, scope);
      }
    }
    for (const name of rules.required ?? []) {
      if (!has(node, name)) problem(scope, node, `${prefix}${name} is missing`);
    }
    if (rules.exactlyOne !== undefined) {
      const there = rules.exactlyOne.filter((name) => node.has(name));
      if (there.length !== 1) {
        problem(
          scope,
          node,
          `${path} must have exactly one of ${rules.exactlyOne.join(", ")}${there.length === 0 ? "" : `, not ${there.join(" and ")}`}`,
        );
      }
    }
  };
}

function has(node: YAMLMap, name: string): boolean {
  const value = node.get(name);
  return value !== undefined && value !== null && value !== "";
}

/** The known word at most two edits away. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? limit;
}

function clip(value: string): string {
  return value.length > 60 ? `${value.slice(0, 59)}…` : value;
}

/**
 * Counts how often each piece of src/ runs: modules that are loaded after `countBlocks` carry a counter in each block, branch
 * of a condition and case. What an input reaches that none before did makes it worth keeping.
 */
import { readFileSync } from "node:fs";
import { parseSync } from "@swc/core";

/** Counters that there is room for. */
const MOST_BLOCKS = 1 << 16;
const COUNTERS = "__fuzzBlocks";

export class Coverage {
  readonly #counters = new Uint32Array(MOST_BLOCKS);
  #blocks = 0;
  /** Which counts of each block were seen, one bit a bucket. */
  readonly #seen = new Uint8Array(MOST_BLOCKS);

  /** Blocks that there are, and those that ran at least once. */
  get reached(): { readonly blocks: number; readonly of: number } {
    let blocks = 0;
    for (let block = 0; block < this.#blocks; block++) if (this.#seen[block] !== 0) blocks++;
    return { blocks, of: this.#blocks };
  }

  /** From now on modules of `root`/src are counted as they are loaded. */
  countBlocks(root: string): void {
    Object.defineProperty(globalThis, COUNTERS, { value: this.#counters });
    const pattern = new RegExp(`^${root.replace(/[^\w/-]/g, "\\$&")}/src/(?!testkit/).*\\.ts$`);
    Bun.plugin({
      name: "fuzz-coverage",
      setup: (build) => {
        build.onLoad({ filter: pattern }, ({ path }) => ({
          contents: withCounters(readFileSync(path), () => this.#blocks++),
          loader: "ts",
        }));
      },
    });
  }

  clear(): void {
    this.#counters.fill(0, 0, this.#blocks);
  }

  /** Blocks that ran since `clear`. */
  get work(): number {
    let sum = 0;
    for (let block = 0; block < this.#blocks; block++) sum += this.#counters[block] as number;
    return sum;
  }

  /** Numbers of the blocks that ran since `clear`. */
  ran(): number[] {
    const found: number[] = [];
    for (let block = 0; block < this.#blocks; block++) if (this.#counters[block] !== 0) found.push(block);
    return found;
  }

  /** Whether something ran since `clear`, or as often, as never before; it is known from now on. */
  learn(): boolean {
    let news = false;
    for (let block = 0; block < this.#blocks; block++) {
      const count = this.#counters[block] as number;
      if (count === 0) continue;
      const bit = 1 << bucketOf(count);
      const seen = this.#seen[block] as number;
      if ((seen & bit) !== 0) continue;
      this.#seen[block] = seen | bit;
      news = true;
    }
    return news;
  }
}

/** 0 to 7: how often, roughly. */
function bucketOf(count: number): number {
  if (count <= 3) return count - 1;
  if (count < 8) return 3;
  if (count < 16) return 4;
  if (count < 32) return 5;
  return count < 128 ? 6 : 7;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

interface Insertion {
  readonly at: number;
  readonly text: string;
  /** Of two at one place: what opens comes before what counts, what closes first of all. */
  readonly order: number;
}

/** TypeScript with a counter in each block; `next` numbers them. */
export function withCounters(source: Buffer, next: () => number): string {
  const insertions: Insertion[] = [];
  const count = () => `${COUNTERS}[${next()}]++`;
  // Offsets of the parser count bytes from 1.
  const inside = (at: number) => insertions.push({ at, text: `${count()};`, order: 2 });
  const around = (span: Span) => {
    insertions.push({ at: span.start - 1, text: `(${count()},`, order: 1 });
    insertions.push({ at: span.end - 1, text: ")", order: 0 });
  };
  const statement = (node: Node | null | undefined) => {
    if (node === null || node === undefined || node.type === "BlockStatement") return;
    insertions.push({ at: node.span.start - 1, text: `{${count()};`, order: 1 });
    insertions.push({ at: node.span.end - 1, text: "}", order: 0 });
  };
  walk(parseSync(source.toString("utf8"), { syntax: "typescript", target: "esnext" }), (node) => {
    switch (node.type) {
      case "BlockStatement":
      case "FunctionBody":
        inside(node.span.start);
        break;
      case "IfStatement":
        statement(node["consequent"] as Node);
        statement(node["alternate"] as Node | null);
        break;
      case "ForStatement":
      case "ForInStatement":
      case "ForOfStatement":
      case "WhileStatement":
        statement(node["body"] as Node);
        break;
      case "SwitchCase": {
        const first = (node["consequent"] as readonly Node[])[0];
        if (first !== undefined) inside(first.span.start - 1);
        break;
      }
      case "ConditionalExpression":
        around((node["consequent"] as Node).span);
        around((node["alternate"] as Node).span);
        break;
      case "BinaryExpression":
        if (["&&", "||", "??"].includes(node["operator"] as string)) around((node["right"] as Node).span);
        break;
      case "ArrowFunctionExpression": {
        const body = node["body"] as Node;
        if (body.type !== "FunctionBody") around(body.span);
        break;
      }
    }
  });
  insertions.sort((one, other) => one.at - other.at || one.order - other.order);
  const parts: Buffer[] = [];
  let done = 0;
  for (const { at, text } of insertions) {
    parts.push(source.subarray(done, at), Buffer.from(text));
    done = at;
  }
  return Buffer.concat([...parts, source.subarray(done)]).toString("utf8");
}

interface Node {
  readonly type: string;
  readonly span: Span;
  readonly [key: string]: unknown;
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) {
    for (const element of value) walk(element, visit);
  } else if (typeof value === "object" && value !== null) {
    if ("type" in value && "span" in value) visit(value as unknown as Node);
    for (const child of Object.values(value)) walk(child, visit);
  }
}

/**
 * Reads the part of Go's templates that our chart is written in: `if`, `else if`, `else`, `with`, `define`, `end`, fields,
 * literals, parentheses, pipelines and the functions of functions.ts. What it does not know is an error, never ignored.
 */
import { InstallError } from "../errors.ts";
import type { Branch, Expression, Node, Template } from "./ast.ts";
import { FUNCTIONS } from "./functions.ts";
import { type Piece, pieces, type Token, tokens } from "./lexer.ts";

export function parseTemplate(source: string, file: string): Template {
  const defines = new Map<string, readonly Node[]>();
  const reader = new Reader(pieces(source, file), file, defines);
  return { body: reader.body([]).nodes, defines };
}

class Reader {
  readonly #pieces: readonly Piece[];
  readonly #file: string;
  readonly #defines: Map<string, readonly Node[]>;
  #at = 0;

  constructor(all: readonly Piece[], file: string, defines: Map<string, readonly Node[]>) {
    this.#pieces = all;
    this.#file = file;
    this.#defines = defines;
  }

  /** Nodes up to an action that begins with one of `ends`, which is answered too; none: up to the end of the file. */
  body(ends: readonly string[]): {
    readonly nodes: readonly Node[];
    readonly end: string;
    readonly rest: readonly Token[];
  } {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#at++];
      if (piece === undefined) {
        if (ends.length > 0) throw new InstallError("bad-template", `${this.#file}: {{ end }} is missing`);
        return { nodes, end: "", rest: [] };
      }
      if (piece.kind === "text") {
        nodes.push(piece);
        continue;
      }
      const where = `${this.#file}:${piece.line}`;
      const all = tokens(piece.code, where);
      const [first] = all;
      const word = first?.kind === "word" ? first.value : "";
      if (ends.includes(word)) return { nodes, end: word, rest: all.slice(1) };
      if (word === "if") nodes.push(this.#conditional(all.slice(1), where));
      else if (word === "with") nodes.push(this.#with(all.slice(1), where));
      else if (word === "define") this.#define(all.slice(1), where);
      else if (word === "end" || word === "else")
        throw new InstallError("bad-template", `${where}: ${word} of nothing`);
      else nodes.push({ kind: "output", value: expression(all, where) });
    }
  }

  #conditional(condition: readonly Token[], where: string): Node {
    const branches: Branch[] = [];
    let next = condition;
    for (;;) {
      const { nodes, end, rest } = this.body(["else", "end"]);
      branches.push({ condition: expression(next, where), body: nodes });
      if (end === "end") return { kind: "if", branches, otherwise: [] };
      if (rest.length === 0) return { kind: "if", branches, otherwise: this.body(["end"]).nodes };
      const [word] = rest;
      if (word?.kind !== "word" || word.value !== "if") throw new InstallError("bad-template", `${where}: else what?`);
      next = rest.slice(1);
    }
  }

  #with(value: readonly Token[], where: string): Node {
    const { nodes, end } = this.body(["else", "end"]);
    const otherwise = end === "end" ? [] : this.body(["end"]).nodes;
    return { kind: "with", value: expression(value, where), body: nodes, otherwise };
  }

  #define(name: readonly Token[], where: string): void {
    const [token] = name;
    if (token?.kind !== "string") throw new InstallError("bad-template", `${where}: define needs a name`);
    this.#defines.set(token.value, this.body(["end"]).nodes);
  }
}

/** A pipeline: what a command gives is the last argument of the next one. */
function expression(all: readonly Token[], where: string): Expression {
  let at = 0;
  const fail = (why: string) => new InstallError("bad-template", `${where}: ${why}`);

  const operand = (): Expression => {
    const token = all[at++];
    switch (token?.kind) {
      case "string":
      case "number":
        return { kind: "literal", value: token.value };
      case "field":
        return token;
      case "word":
        if (token.value === "true" || token.value === "false")
          return { kind: "literal", value: token.value === "true" };
        throw fail(`${token.value} needs parentheses as an argument`);
      case "(": {
        const inner = pipeline();
        if (all[at++]?.kind !== ")") throw fail(") is missing");
        return inner;
      }
      default:
        throw fail("a value is missing");
    }
  };
  const command = (): Expression => {
    const token = all[at];
    if (token?.kind !== "word" || token.value === "true" || token.value === "false") return operand();
    if (!(token.value in FUNCTIONS)) throw fail(`there is no function ${token.value}`);
    at++;
    const args: Expression[] = [];
    while (at < all.length && all[at]?.kind !== "|" && all[at]?.kind !== ")") args.push(operand());
    return { kind: "call", name: token.value, args };
  };
  const pipeline = (): Expression => {
    let value = command();
    while (all[at]?.kind === "|") {
      at++;
      const next = command();
      if (next.kind !== "call") throw fail("only a function can follow |");
      value = { ...next, args: [...next.args, value] };
    }
    return value;
  };

  const value = pipeline();
  if (at < all.length) throw fail("there is something after the end of the expression");
  return value;
}

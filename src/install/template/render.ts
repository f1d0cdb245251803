/** Renders parsed templates over the data that Helm gives them: `.Values`, `.Release`, `.Chart`. */
import { InstallError } from "../errors.ts";
import type { Expression, Node, Template } from "./ast.ts";
import { FUNCTIONS, isEmpty, printed, type Scope } from "./functions.ts";

/** The text of each template that prints any, by its file. All see the templates that one of them defines. */
export function renderTemplates(templates: ReadonlyMap<string, Template>, data: object): ReadonlyMap<string, string> {
  const defines = new Map<string, readonly Node[]>();
  for (const { defines: some } of templates.values()) for (const [name, body] of some) defines.set(name, body);
  const scope: Scope = {
    include(name, dot) {
      const body = defines.get(name);
      if (body === undefined) throw new InstallError("bad-template", `no template is named ${name}`);
      return write(body, dot, dot);
    },
  };

  function write(nodes: readonly Node[], dot: unknown, root: unknown): string {
    return nodes.map((node) => writeOne(node, dot, root)).join("");
  }

  function writeOne(node: Node, dot: unknown, root: unknown): string {
    switch (node.kind) {
      case "text":
        return node.text;
      case "output":
        return printed(evaluate(node.value, dot, root));
      case "if": {
        const branch = node.branches.find((one) => !isEmpty(evaluate(one.condition, dot, root)));
        return write(branch?.body ?? node.otherwise, dot, root);
      }
      case "with": {
        const value = evaluate(node.value, dot, root);
        return isEmpty(value) ? write(node.otherwise, dot, root) : write(node.body, value, root);
      }
    }
  }

  function evaluate(expression: Expression, dot: unknown, root: unknown): unknown {
    switch (expression.kind) {
      case "literal":
        return expression.value;
      case "field":
        return expression.path.reduce<unknown>(
          (value, name) => fieldOf(value, name, expression.path),
          expression.root ? root : dot,
        );
      case "call": {
        const run = FUNCTIONS[expression.name];
        if (run === undefined) throw new InstallError("bad-template", `there is no function ${expression.name}`);
        return run(scope, ...expression.args.map((argument) => evaluate(argument, dot, root)));
      }
    }
  }

  return new Map([...templates].map(([file, { body }]) => [file, write(body, data, data)]));
}

/** A field that a map lacks is nothing; a field of what is no map is a mistake, as in Helm. */
function fieldOf(value: unknown, name: string, path: readonly string[]): unknown {
  if (typeof value !== "object" || value === null)
    throw new InstallError("bad-template", `.${path.join(".")}: ${name} of a value that has no fields`);
  return Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

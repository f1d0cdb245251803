/**
 * Writes what is said of the chart's values from the one place where it is said, the comments of values.yaml: the table in
 * README.md and the descriptions in values.schema.json. With --check it writes nothing and fails on a difference; a value
 * without a comment, or one that only one of values and schema knows, is an error either way.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isCollection, isMap, isScalar, parseDocument, type YAMLMap } from "yaml";
import type { Schema } from "../src/install/index.ts";

const CHART = join(import.meta.dir, "../charts/tulle");
const BEGIN = "<!-- values: made by `make chart` from values.yaml -->";
const END = "<!-- end of values -->";

interface Value {
  readonly path: string;
  readonly fallback: unknown;
  readonly description: string;
}

/** The leaves in the order of the file: what has a comment of its own, or is no map of such. */
function leaves(map: YAMLMap, path: readonly string[]): readonly Value[] {
  return map.items.flatMap(({ key, value }, index) => {
    if (!isScalar(key)) throw new Error("a key is no text");
    // The comment of a map's first key is kept with the map itself.
    const comment = key.commentBefore ?? (index === 0 ? map.commentBefore : undefined);
    const inner = [...path, String(key.value)];
    if (comment === undefined || comment === null) {
      if (!isMap(value)) throw new Error(`values.yaml: ${inner.join(".")} has no comment`);
      return leaves(value, inner);
    }
    const description = comment
      .split("\n")
      .map((line) => line.trim())
      .join(" ")
      .trim();
    const fallback: unknown = isCollection(value) ? value.toJSON() : isScalar(value) ? value.value : value;
    return [{ path: inner.join("."), fallback, description }];
  });
}

function describe(schema: Schema, values: ReadonlyMap<string, string>, path: string): Schema {
  const properties = Object.entries(schema.properties ?? {}).map(([name, inner]): [string, Schema] => {
    const at = path === "" ? name : `${path}.${name}`;
    const said = values.get(at);
    const { description: before, ...rest } = inner;
    if (said !== undefined) return [name, { ...rest, description: said }];
    if (inner.properties !== undefined) return [name, describe(inner, values, at)];
    if (at === "global") return [name, inner];
    throw new Error(`values.schema.json: ${at} is not in values.yaml${before === undefined ? "" : ` ("${before}")`}`);
  });
  return properties.length === 0 ? schema : { ...schema, properties: Object.fromEntries(properties) };
}

function known(schema: Schema, path: string): boolean {
  let at: Schema | undefined = schema;
  for (const name of path.split(".")) at = at?.properties?.[name];
  return at !== undefined;
}

function table(values: readonly Value[]): string {
  const rows = values.map(({ path, fallback, description }) => {
    const shown = JSON.stringify(fallback);
    return `| \`${path}\` | \`${shown}\` | ${description.replaceAll("|", "\\|")} |`;
  });
  return ["| value | default | what |", "| --- | --- | --- |", ...rows].join("\n");
}

const document = parseDocument(readFileSync(join(CHART, "values.yaml"), "utf8").replace(/^(#.*\n)+\n/, ""));
if (!isMap(document.contents)) throw new Error("values.yaml holds no map");
const values = leaves(document.contents, []);
const schemaFile = join(CHART, "values.schema.json");
const schema = JSON.parse(readFileSync(schemaFile, "utf8")) as Schema;
for (const { path } of values)
  if (!known(schema, path)) throw new Error(`values.yaml: ${path} is not in values.schema.json`);

const readmeFile = join(CHART, "README.md");
const readme = readFileSync(readmeFile, "utf8");
const [head, rest] = readme.split(BEGIN);
const foot = rest?.split(END)[1];
if (head === undefined || foot === undefined) throw new Error(`README.md lacks the lines ${BEGIN} and ${END}`);

const wanted: ReadonlyMap<string, string> = new Map([
  [readmeFile, `${head}${BEGIN}\n\n${table(values)}\n\n${END}${foot}`],
  [schemaFile, JSON.stringify(describe(schema, new Map(values.map((one) => [one.path, one.description])), ""))],
]);
const same = (file: string, text: string) => {
  const there = readFileSync(file, "utf8");
  // The formatter lays out the schema; only its content is ours.
  return file === schemaFile ? JSON.stringify(JSON.parse(there)) === text : there === text;
};
for (const [file, text] of wanted) {
  if (same(file, text)) continue;
  if (process.argv.includes("--check")) {
    process.stderr.write(
      `${file.slice(CHART.length - "charts/tulle".length)} differs from values.yaml: run 'make chart' and commit\n`,
    );
    process.exitCode = 1;
  } else writeFileSync(file, file === schemaFile ? `${JSON.stringify(JSON.parse(text), null, 2)}\n` : text);
}

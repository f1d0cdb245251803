/** The flags by which values are given, as Helm's. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { ValueSources } from "../install/index.ts";
import { TulleError } from "../mesh/index.ts";

export interface ValuesOptions {
  readonly values?: readonly string[];
  readonly set?: readonly string[];
  readonly setString?: readonly string[];
  readonly ha?: boolean;
}

export function withValuesOptions(command: Command): Command {
  return command
    .option("-f, --values <file>", "file of values; again for more, the later wins; - is standard input", collect)
    .option("--set <key=value>", "one value, such as mesh.mode=strict; again for more", collect)
    .option("--set-string <key=value>", "the same, always as text", collect)
    .option("--ha", "begin with the values for production: three replicas on nodes of their own");
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function valueSources({ values = [], set = [], setString = [], ha = false }: ValuesOptions): ValueSources {
  return { ha, set, setString, files: values.map((name) => ({ name, text: read(name) })) };
}

function read(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TulleError("no-such-file", `cannot read ${file}: ${why}`, {
      exitCode: 2,
      hint: "Name a file of values, or - for standard input.",
      cause,
    });
  }
}

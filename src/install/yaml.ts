/**
 * YAML as Helm and kubectl read it: version 1.1 of the standard, where `yes` and `on` are booleans, but without its dates and
 * its numbers in base 60, which Go's reader does not know either.
 */
import { type Document, parseAllDocuments, stringify, type Tags } from "yaml";
import { InstallError } from "./errors.ts";

const UNKNOWN_TO_GO = ["tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:omap", "tag:yaml.org,2002:set"];

function withoutDates(tags: Tags): Tags {
  return tags.filter(
    (tag) =>
      typeof tag === "string" || !(UNKNOWN_TO_GO.includes(tag.tag) || ("format" in tag && tag.format === "TIME")),
  );
}

/** Every document that is not empty. `file` is named in the error, whose code is the given one. */
export function readYaml(text: string, file: string, code: "bad-values" | "bad-template"): readonly unknown[] {
  const documents = parseAllDocuments(text, { version: "1.1", customTags: withoutDates });
  const bad = (problem: Error) => {
    const why = `${file} is no YAML: ${problem.message.split("\n")[0]?.replace(/:$/, "")}`;
    return new InstallError(code, why, { exitCode: code === "bad-values" ? 2 : 1, cause: problem });
  };
  return ("empty" in documents ? [] : documents).flatMap((document: Document) => {
    const [problem] = document.errors;
    if (problem !== undefined) throw bad(problem);
    try {
      return [document.toJS() as unknown].filter((value) => value !== null && value !== undefined);
    } catch (error) {
      // The only way in which the reader tells of an alias without an anchor before it, or of too many aliases.
      if (error instanceof ReferenceError) throw bad(error);
      throw error;
    }
  });
}

/** Without a line break at the end; whatever reads version 1.1 or 1.2 gets the same value. */
export function writeYaml(value: unknown): string {
  return stringify(value, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false }).trimEnd();
}

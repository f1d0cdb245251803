/** What is wrong with a manifest, where, and what to do: all of it at once, not only the first. */
import { TulleError } from "../../mesh/index.ts";

export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export interface Problem extends Position {
  /** `Pod/web`, or empty when the object is not known. */
  readonly subject: string;
  readonly what: string;
}

/** How the hint begins; of a running play it is not so. */
export const NOTHING_STARTED = "Nothing was started. ";

/** Problems shown before "and N more". */
const SHOWN = 20;

/** `file:line:column: Kind/name: what`. */
export function formatProblem(problem: Problem): string {
  const subject = problem.subject === "" ? "" : `${problem.subject}: `;
  return `${problem.file}:${problem.line}:${problem.column}: ${subject}${problem.what}`;
}

/** The manifest cannot be run as it is; nothing has been made. Exit code 2. */
export class ManifestError extends TulleError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const shown = problems.slice(0, SHOWN).map((problem) => `\n  ${formatProblem(problem)}`);
    const rest = problems.length > SHOWN ? `\n  and ${problems.length - SHOWN} more` : "";
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super("manifest", `the manifest has ${count}:${shown.join("")}${rest}`, {
      exitCode: 2,
      hint: `${NOTHING_STARTED}Mend the manifest and run the command again.`,
    });
    this.problems = problems;
  }
}

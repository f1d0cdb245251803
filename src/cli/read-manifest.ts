/** A manifest named on the command line. */
import { readFileSync } from "node:fs";
import { TulleError } from "../mesh/index.ts";

/** The text of a file, or of standard input for `-`. Throws a TulleError with exit code 2. */
export function readManifest(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new TulleError(
      "no-such-file",
      `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        exitCode: 2,
        hint: "Name a file that exists, or - for standard input.",
        cause,
      },
    );
  }
}

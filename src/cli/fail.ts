/** How a failure is shown: what failed and why, then what to do. Never a stack trace for a wrong argument. */
import { TulleError } from "../mesh/index.ts";

/** Prints the error on stderr and answers the exit code that belongs to it. */
export function printError(error: unknown): number {
  if (error instanceof TulleError) {
    process.stderr.write(`tulle: ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
    return error.exitCode;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`tulle: this is a defect of tulle, please report it:\n${text}\n`);
  return 1;
}

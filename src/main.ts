/** The one binary: picks a command by its first word and loads only that command's code. */
import { writeSync } from "node:fs";
import { main } from "./cli/main.ts";

// A reader that has enough (`tulle … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  const why = error.code === "ENOSPC" ? "no space is left on the device" : error.message;
  writeSync(2, `tulle: the output cannot be written: ${why}\n`);
  process.exit(1);
});
// Nor is one of messages and logs: a play that was left running and a sidecar go on.
process.stderr.on("error", () => undefined);

process.exitCode = await main(process.argv.slice(2));

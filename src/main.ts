/** The one binary: picks a command by its first word and loads only that command's code. */
import { main } from "./cli/main.ts";

// A reader that has enough (`tulle … | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

process.exitCode = await main(process.argv.slice(2));

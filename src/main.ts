/** The one binary: picks a command by its first word and loads only that command's code. */
import { main } from "./cli/main.ts";

process.exitCode = await main(process.argv.slice(2));

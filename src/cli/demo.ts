/** `tulle demo`: plays a few pods and proves step by step, on the wire, that the mesh does what it says. */
import { Command } from "commander";
import { runDemo } from "./demo/run.ts";

export function demoCommand(): Command {
  return new Command("demo")
    .summary("show the mesh at work: a few pods, real mTLS, proven on the wire")
    .option("--keep", "leave it running at the end")
    .addHelpText(
      "after",
      "\nExample:\n  tulle demo --keep\n  tulle get pods -A\n\nNeeds root. Exit code 0 only if every step held.",
    )
    .action(async (options: { keep?: true }) => {
      process.exitCode = await runDemo({ keep: options.keep === true });
    });
}

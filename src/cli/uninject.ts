/** `tulle uninject`: the manifest before `tulle inject` on stdout, what was done on stderr. */
import { Command } from "commander";
import { uninjectManifest } from "../inject/index.ts";
import { readManifest } from "./read-manifest.ts";

const DONE = {
  exact: "uninjected",
  reprinted: "uninjected (its document was changed after inject, and is printed anew)",
  unmeshed: "has no sidecar",
} as const;

export function uninjectCommand(): Command {
  return new Command("uninject")
    .summary("take the sidecar out of the pods of a manifest")
    .description(
      "Takes the sidecar out of every Pod and pod template of a YAML or JSON file ('-' is standard input) and prints the result.\n" +
        "What `tulle inject` printed comes back byte for byte; what another tool printed anew comes back as the same object.",
    )
    .argument("<file>", "manifest, or - for standard input")
    .addHelpText(
      "after",
      "\nExamples:\n  tulle uninject app.yaml | kubectl apply -f -\n  kubectl get deploy web -o yaml | tulle uninject -",
    )
    .action((file: string) => {
      const { text, results } = uninjectManifest(readManifest(file), file);
      process.stdout.write(text);
      for (const one of results) process.stderr.write(`${one.kind}/${one.name}: ${DONE[one.outcome]}\n`);
      if (results.length === 0) process.stderr.write("no pods in it: nothing to uninject\n");
    });
}

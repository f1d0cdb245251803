/** `tulle inject`: the meshed manifest on stdout, what was done on stderr. */
import { Command, InvalidArgumentError } from "commander";
import { IdentityError, parseTrustDomain } from "../identity/index.ts";
import { injectManifest, isImage } from "../inject/index.ts";
import { DEFAULT_IMAGE_REPOSITORY, DEFAULT_TRUST_DOMAIN, OPERATOR_HOST, PORTS } from "../mesh/index.ts";
import { readManifest } from "./read-manifest.ts";
import { VERSION } from "./version.ts";

interface InjectOptions {
  readonly image: string;
  readonly trustDomain: string;
  readonly legacyIptables?: true;
}

export function injectCommand(): Command {
  return new Command("inject")
    .summary("add the sidecar to the pods of a manifest")
    .description(
      "Adds the sidecar to every Pod and pod template of a YAML or JSON file ('-' is standard input) and prints the result.\n" +
        "The text is spliced: comments, order and unknown fields stay byte for byte. Injecting twice changes nothing, and\n" +
        "`tulle uninject` gives the input back.",
    )
    .argument("<file>", "manifest, or - for standard input")
    .option(
      "--image <image>",
      "image of init container and sidecar",
      readImage,
      `${DEFAULT_IMAGE_REPOSITORY}:${VERSION}`,
    )
    .option("--trust-domain <domain>", "trust domain of the mesh", readTrustDomain, DEFAULT_TRUST_DOMAIN)
    .option("--legacy-iptables", "the nodes' kernels have only legacy iptables: the init container gets NET_RAW too")
    .addHelpText(
      "after",
      "\nExamples:\n  tulle inject app.yaml | kubectl apply -f -\n  kubectl get deploy web -o yaml | tulle inject -",
    )
    .action((file: string, options: InjectOptions) => {
      const { text, results } = injectManifest(
        readManifest(file),
        {
          image: options.image,
          version: VERSION,
          trustDomain: options.trustDomain,
          operatorAddress: `${OPERATOR_HOST}:${PORTS.operatorGrpc}`,
          legacyIptables: options.legacyIptables === true,
        },
        file,
      );
      process.stdout.write(text);
      for (const result of results) {
        const why = result.why === undefined ? "" : ` (${result.why})`;
        process.stderr.write(`${result.kind}/${result.name}: ${result.outcome}${why}\n`);
        for (const warning of result.warnings) process.stderr.write(`  warning: ${warning}\n`);
      }
      if (results.length === 0) process.stderr.write("no pods in it: nothing to inject\n");
    });
}

function readImage(text: string): string {
  if (!isImage(text))
    throw new InvalidArgumentError("It is an image reference such as registry.example.com/tulle:0.1.0.");
  return text;
}

function readTrustDomain(text: string): string {
  try {
    return parseTrustDomain(text);
  } catch (error) {
    throw error instanceof IdentityError ? new InvalidArgumentError(`${error.message}.`) : error;
  }
}

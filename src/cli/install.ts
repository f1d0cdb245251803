/** `tulle install`: prints the installation for kubectl, or with --wait applies it and waits until it works. */
import { Command, Option } from "commander";
import { SYSTEM_NAMESPACE } from "../mesh/index.ts";
import { type ClusterOptions, durationOf, withCluster, withClusterOptions } from "./cluster-options.ts";
import { type ValuesOptions, valueSources, withValuesOptions } from "./values-options.ts";

interface InstallOptions extends ClusterOptions, ValuesOptions {
  readonly output: "yaml" | "json";
  readonly wait?: true;
  readonly timeout: number;
  readonly showValues?: true;
}

export function installCommand(): Command {
  const command = new Command("install")
    .summary("put the operator into a cluster")
    .description(
      "Prints the objects of an installation, made from the same files as the Helm chart, for kubectl to apply. Talks to no " +
        "cluster. With --wait it applies them by itself, and waits until a new pod would be meshed.",
    );
  return withClusterOptions(withValuesOptions(command))
    .addOption(new Option("-o, --output <form>", "how to print them").choices(["yaml", "json"]).default("yaml"))
    .option("--wait", "apply, and wait until the mesh works")
    .addOption(new Option("--timeout <duration>", "of --wait").argParser(durationOf).default(durationOf("5m"), "5m"))
    .option("--show-values", "print every value with its meaning and default, and end")
    .addHelpText(
      "after",
      "\nExamples:\n  tulle install | kubectl apply -f -\n  tulle install --wait --ha --set mesh.mode=strict\n  tulle install --show-values",
    )
    .action(run);
}

async function run(options: InstallOptions): Promise<void> {
  const { DEFAULT_VALUES, givenValues, install, renderForApply, waitUntilReady, writeYaml } = await import(
    "../install/index.ts"
  );
  if (options.showValues === true) return void process.stdout.write(DEFAULT_VALUES);
  const given = givenValues(valueSources(options));
  // Wrong values are told before anything is sent.
  const objects = renderForApply(given, options.namespace ?? SYSTEM_NAMESPACE);
  if (options.wait !== true) {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    const text =
      options.output === "json"
        ? `${JSON.stringify(list, null, 2)}\n`
        : objects.map((object) => `---\n${writeYaml(object)}\n`).join("");
    return void process.stdout.write(text);
  }
  const { ConsoleProgress } = await import("./progress.ts");
  await withCluster(options, async (cluster) => {
    const progress = new ConsoleProgress(process.stderr);
    await install(cluster, given, progress);
    await waitUntilReady(cluster, progress, options.timeout);
    process.stdout.write(
      `Tulle is installed in namespace ${cluster.namespace}. Mesh a namespace:\n` +
        "  kubectl label namespace NAME tulle.dev/inject=enabled\n" +
        "  kubectl rollout restart deployment -n NAME\n",
    );
  });
}

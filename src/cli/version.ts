/** `tulle version`. */
import { Command, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };

/** The one version of the binary, the chart and the image. */
export const VERSION: string = packageJson.version;

export function versionCommand(): Command {
  return new Command("version")
    .summary("print the version")
    .addOption(new Option("-o, --output <format>", "how to print it").choices(["text", "json"]).default("text"))
    .addHelpText("after", "\nExample:\n  tulle version -o json")
    .action((options: { output: string }) => {
      const facts = { version: VERSION, bun: Bun.version, platform: `${process.platform}-${process.arch}` };
      process.stdout.write(
        options.output === "json"
          ? `${JSON.stringify(facts)}\n`
          : `tulle ${facts.version} (bun ${facts.bun}, ${facts.platform})\n`,
      );
    });
}

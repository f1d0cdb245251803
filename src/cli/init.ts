/** `tulle init`: writes the pod's iptables rules, proves that they act and shows them. */
import { Command, Option } from "commander";
import {
  applyCapture,
  type CaptureConfig,
  captureRules,
  cleanupCapture,
  FAMILIES,
  FAMILY_NAME,
  linuxMachine,
  listChains,
  parseCidrs,
  parsePortRanges,
  parseUserId,
  proveCapture,
  renderRestore,
} from "../capture/index.ts";
import { formatAuthority, PROXY_UID } from "../mesh/index.ts";

/** The command line as commander parses it. */
export interface InitOptions extends CaptureConfig {
  readonly dryRun?: boolean;
  readonly cleanup?: boolean;
}

const EXAMPLE = `
Examples:
  tulle init                                       capture all TCP of this pod
  tulle init --skip-outbound-ports 3306,8000-8010  but these ports
  tulle init --dry-run                             show the rules, touch nothing
  tulle init --cleanup                             take the rules out again`;

/** The sub-command, without the parent that runs it. */
export function initCommand(): Command {
  return new Command("init")
    .summary("write the pod's iptables rules (runs in the init container)")
    .description(
      "Writes the iptables rules that pass the TCP of this network namespace through the proxy, tests them and shows them.\n" +
        "Needs root and NET_ADMIN. Running it again changes nothing; rules of others stay untouched.",
    )
    .addOption(portsOption("--skip-inbound-ports", "ports that reach the application without the proxy"))
    .addOption(portsOption("--skip-outbound-ports", "destination ports that are dialed without the proxy"))
    .addOption(cidrsOption("--skip-inbound-cidrs", "sources that reach the application without the proxy"))
    .addOption(cidrsOption("--skip-outbound-cidrs", "destinations that are dialed without the proxy"))
    .addOption(
      new Option("--proxy-uid <uid>", "user id of the proxy, whose traffic is not captured")
        .default(PROXY_UID)
        .argParser((text) => parseUserId(text, "--proxy-uid")),
    )
    .addOption(new Option("--dry-run", "print the iptables-restore texts for a fresh pod and touch nothing"))
    .addOption(new Option("--cleanup", "restore the state before the first init").conflicts("dryRun"))
    .addHelpText("after", EXAMPLE)
    .action((options: InitOptions) => runInit(options));
}

/** Does what the options say and prints it. Throws CaptureError: exit code 2 for a bad value, 1 for the machine. */
export async function runInit(options: InitOptions): Promise<void> {
  if (options.dryRun === true) return print(dryRun(options));
  if (options.cleanup === true) return cleanup();
  const { applied, skipped } = await applyCapture(linuxMachine, options);
  for (const { family, why } of skipped) {
    process.stderr.write(`tulle: ${FAMILY_NAME[family]} is not captured; the pod has no address of it: ${why}\n`);
  }
  for (const one of applied) {
    const proof = await proveCapture(options, one);
    const found =
      proof.kind === "captured"
        ? `a test connection to ${formatAuthority(proof.target.ip, proof.target.port)} was captured`
        : `not tested, ${proof.why}`;
    print(`${FAMILY_NAME[one.family]}: rules written; ${found}\n`);
  }
  for (const { family, iptables } of applied) {
    print(`\n${FAMILY_NAME[family]} (${iptables.name} ${iptables.version}, nat table)\n${await listChains(iptables)}`);
  }
}

async function cleanup(): Promise<void> {
  const cleaned = await cleanupCapture(linuxMachine);
  if (cleaned.length === 0) print("nothing to take out: no chain of Tulle is here\n");
  for (const { family, program } of cleaned) print(`${FAMILY_NAME[family]}: rules taken out (${program})\n`);
}

function dryRun(config: CaptureConfig): string {
  return FAMILIES.map((family) => renderRestore(captureRules(config), family)).join("\n");
}

function portsOption(name: string, description: string): Option {
  return new Option(`${name} <ports>`, `${description}, such as 3306,8000-8010`)
    .default([], "none")
    .argParser((text) => parsePortRanges(text, name));
}

function cidrsOption(name: string, description: string): Option {
  return new Option(`${name} <cidrs>`, `${description}, such as 10.0.0.0/8,fd00::/8`)
    .default([], "none")
    .argParser((text) => parseCidrs(text, name));
}

function print(text: string): void {
  process.stdout.write(text);
}

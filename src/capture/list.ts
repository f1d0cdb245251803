/** The chains that decide, as people know them from `iptables -t nat -L -n`, and what that listing hides. */
import type { Iptables } from "./iptables.ts";
import { INBOUND_CHAIN, OUTBOUND_CHAIN } from "./rules.ts";

/**
 * PREROUTING, OUTPUT and the two chains of ours, with a blank line between, then the rules of ours as `-S` writes them: the
 * listing shows no interfaces, so that a rule for loopback alone looks like one for everything. Throws CaptureError.
 */
export async function listChains(iptables: Iptables): Promise<string> {
  const texts: string[] = [];
  for (const chain of ["PREROUTING", "OUTPUT", INBOUND_CHAIN, OUTBOUND_CHAIN]) texts.push(await iptables.list(chain));
  const rules: string[] = [];
  for (const chain of [INBOUND_CHAIN, OUTBOUND_CHAIN]) {
    rules.push(...(await iptables.rules(chain)).split("\n").filter((line) => line.startsWith("-A ")));
  }
  texts.push(`The same rules with their interfaces and protocols (-S):\n${rules.join("\n")}\n`);
  // iptables pads its last column.
  return texts.join("\n").replaceAll(/ +$/gm, "");
}

/** The chains that decide, as people know them from `iptables -t nat -L -n`. */
import type { Iptables } from "./iptables.ts";
import { INBOUND_CHAIN, OUTBOUND_CHAIN } from "./rules.ts";

/** PREROUTING, OUTPUT and the two chains of ours, with a blank line between. Throws CaptureError. */
export async function listChains(iptables: Iptables): Promise<string> {
  const texts: string[] = [];
  for (const chain of ["PREROUTING", "OUTPUT", INBOUND_CHAIN, OUTBOUND_CHAIN]) texts.push(await iptables.list(chain));
  return texts.join("\n");
}

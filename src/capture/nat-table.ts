/** The nat table as `iptables-save` prints it. */
import { formatCidr, parseCidr } from "../mesh/index.ts";
import { INBOUND_CHAIN, OUTBOUND_CHAIN } from "./rules.ts";

/** The chain that only exists while a variant is tried out. */
export const PROBE_CHAIN = "TULLE_PROBE";

/** Every chain that this room may ever have made. */
export const OWN_CHAINS: readonly string[] = [INBOUND_CHAIN, OUTBOUND_CHAIN, PROBE_CHAIN];

/** Chain name → its rules in order, each without its `-A CHAIN`. */
export type NatTable = ReadonlyMap<string, readonly string[]>;

/** Reads the nat section of an `iptables-save` text; no section is an empty table. */
export function parseNatTable(saved: string): NatTable {
  const chains = new Map<string, string[]>();
  let inNat = false;
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) inNat = line.trim() === "*nat";
    if (!inNat) continue;
    const chain = /^:(\S+)/.exec(line);
    if (chain?.[1] !== undefined) chains.set(chain[1], []);
    const rule = /^-A (\S+) ?(.*)$/.exec(line);
    if (rule?.[1] !== undefined) chains.get(rule[1])?.push(rule[2] ?? "");
  }
  return chains;
}

export function holdsOwnChains(table: NatTable): boolean {
  return OWN_CHAINS.some((chain) => table.has(chain));
}

/** Rules of anyone else. */
export function holdsForeignRules(table: NatTable): boolean {
  return [...table].some(
    ([chain, rules]) => !OWN_CHAINS.includes(chain) && rules.some((rule) => ownTargetOf(rule) === undefined),
  );
}

/** A rule in someone else's chain (the built-in ones above all) that leads to one of ours. */
export interface Reference {
  readonly chain: string;
  readonly rule: string;
  /** Which of ours it leads to. */
  readonly to: string;
}

export function referencesToOwnChains(table: NatTable): Reference[] {
  const found: Reference[] = [];
  for (const [chain, rules] of table) {
    if (OWN_CHAINS.includes(chain)) continue;
    for (const rule of rules) {
      const to = ownTargetOf(rule);
      if (to !== undefined) found.push({ chain, rule, to });
    }
  }
  return found;
}

/** The rule with its addresses in the one spelling that this project writes. */
export function canonicalRule(rule: string): string {
  return rule.replace(/(?<=(?:^| )-[sd] )\S+/g, (text) => {
    const cidr = parseCidr(text);
    return cidr === undefined ? text : formatCidr(cidr);
  });
}

function ownTargetOf(rule: string): string | undefined {
  const target = /(?:^| )-[jg] (\S+)/.exec(rule)?.[1];
  return target !== undefined && OWN_CHAINS.includes(target) ? target : undefined;
}

/**
 * Rules as the text of one `iptables-restore --noflush` transaction. Rules are spelled as `iptables-save` prints them,
 * so that what is in the kernel can be compared as text. No comment matches: xt_comment may be missing, and a `#` line
 * costs nothing.
 */
import { formatCidr } from "../mesh/index.ts";
import type { PortRange } from "./config.ts";
import { FAMILY_NAME, type Family } from "./family.ts";
import { canonicalRule, type NatTable, OWN_CHAINS, PROBE_CHAIN, referencesToOwnChains } from "./nat-table.ts";
import { type CaptureChain, inFamily, type Match, type RuleSet, type Target } from "./rules.ts";

/**
 * The transaction that makes the family's nat table hold the rules, whatever of ours it held before: `:CHAIN -` creates
 * or empties a chain within the commit, and a jump is written only when it is not there. `present` is what the kernel
 * holds now; left out, the text is that for a table without a trace of ours.
 */
export function renderRestore(rules: RuleSet, family: Family, present: NatTable = new Map()): string {
  const lines = [`# Tulle: what ${FAMILY_NAME[family]} TCP passes through the proxy`, "*nat"];
  for (const chain of rules.chains) lines.push(`:${chain.name} - [0:0]`);
  const references = referencesToOwnChains(present);
  const jumps: string[] = [];
  for (const chain of rules.chains) {
    const found = references.filter((reference) => reference.to === chain.name);
    const jump = renderJump(chain);
    if (found.length === 1 && found[0]?.chain === chain.hook && found[0].rule === jump) continue;
    for (const reference of found) lines.push(`-D ${reference.chain} ${reference.rule}`);
    jumps.push(`-A ${chain.hook} ${jump}`);
  }
  for (const chain of rules.chains) {
    let why: string | undefined;
    for (const rule of chain.rules) {
      if (!inFamily(rule, family)) continue;
      if (rule.why !== why) lines.push(`# ${rule.why}`);
      why = rule.why;
      lines.push(`-A ${chain.name} ${renderRule(rule.match, rule.target)}`);
    }
  }
  if (jumps.length > 0) lines.push("# last, so that no packet meets a half-written chain", ...jumps);
  return `${[...lines, "COMMIT"].join("\n")}\n`;
}

/** The transaction that takes out all that is ours, or undefined when nothing is. */
export function renderCleanup(present: NatTable): string | undefined {
  const own = OWN_CHAINS.filter((chain) => present.has(chain));
  if (own.length === 0) return undefined;
  const lines = ["*nat"];
  for (const reference of referencesToOwnChains(present)) lines.push(`-D ${reference.chain} ${reference.rule}`);
  for (const chain of own) lines.push(`-F ${chain}`);
  for (const chain of own) lines.push(`-X ${chain}`);
  return `${[...lines, "COMMIT"].join("\n")}\n`;
}

/** A transaction that puts rules in a chain that nothing jumps to: the kernel judges them, no packet does. */
export function renderProbe(rules: readonly string[]): string {
  return `${["*nat", `:${PROBE_CHAIN} - [0:0]`, ...rules.map((rule) => `-A ${PROBE_CHAIN} ${rule}`), "COMMIT"].join("\n")}\n`;
}

/** The chain's rules for a family as `iptables-save` prints them, without `-A CHAIN`. */
export function savedRules(chain: CaptureChain, family: Family): string[] {
  return chain.rules
    .filter((rule) => inFamily(rule, family))
    .map((rule) => canonicalRule(renderRule(rule.match, rule.target)));
}

export function renderJump(chain: CaptureChain): string {
  return `-p tcp -j ${chain.name}`;
}

export function renderRule(match: Match, target: Target): string {
  return [renderMatch(match), renderTarget(target)].filter((part) => part !== "").join(" ");
}

function renderMatch(match: Match): string {
  switch (match.kind) {
    case "tcp":
      return "-p tcp";
    case "destination-port":
      return `-p tcp -m tcp --dport ${match.port}`;
    case "destination-ports":
      return `-p tcp -m multiport --dports ${match.ports.map(renderPorts).join(",")}`;
    // iptables-save leaves out a range of everything.
    case "source":
      return match.cidr.prefix === 0 ? "" : `-s ${formatCidr(match.cidr)}`;
    case "destination":
      return match.cidr.prefix === 0 ? "" : `-d ${formatCidr(match.cidr)}`;
    case "user":
      return `-m owner --uid-owner ${match.uid}`;
    case "to-loopback-interface":
      return "-o lo";
  }
}

function renderTarget(target: Target): string {
  return target.kind === "return" ? "-j RETURN" : `-j REDIRECT --to-ports ${target.port}`;
}

function renderPorts({ first, last }: PortRange): string {
  if (first === last) return String(first);
  // Two ports fill two slots either way, and a list reads better than a range.
  return last === first + 1 ? `${first},${last}` : `${first}:${last}`;
}

/** What the kernel holds, against what it should hold. */
import type { Family } from "./family.ts";
import { canonicalRule, type NatTable, referencesToOwnChains } from "./nat-table.ts";
import { renderJump, savedRules } from "./restore.ts";
import type { RuleSet } from "./rules.ts";

/**
 * Each difference as a sentence; none when the table holds exactly the rules: same rules, same order, one jump each.
 * That foreign rules ahead of the jump do not divert packets is for the self-test to show.
 */
export function verifyCapture(rules: RuleSet, family: Family, table: NatTable): string[] {
  const differences: string[] = [];
  const references = referencesToOwnChains(table);
  for (const chain of rules.chains) {
    const wanted = savedRules(chain, family);
    const held = table.get(chain.name)?.map(canonicalRule);
    if (held === undefined) {
      differences.push(`the chain ${chain.name} is missing`);
      continue;
    }
    const length = Math.max(wanted.length, held.length);
    for (let index = 0; index < length; index++) {
      if (held[index] === wanted[index]) continue;
      const has = held[index] === undefined ? "no rule" : `"${held[index]}"`;
      const should = wanted[index] === undefined ? "no rule" : `"${wanted[index]}"`;
      differences.push(`${chain.name} has ${has} at place ${index + 1} where ${should} belongs`);
      break;
    }
    const jumps = references.filter((reference) => reference.to === chain.name);
    const right = jumps.filter((jump) => jump.chain === chain.hook && jump.rule === renderJump(chain));
    if (right.length !== 1 || jumps.length !== 1) {
      differences.push(`${chain.name} is reached by ${jumps.length} rules instead of one jump from ${chain.hook}`);
    }
  }
  return differences;
}

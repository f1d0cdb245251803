/**
 * Which iptables variant to use for a family. Wrong choices were silent in every mesh: rules in a variant that the
 * kernel does not run, or beside a variant that already holds rules. So each is tried out in the nat table itself.
 */
import { CaptureError } from "./errors.ts";
import { FAMILY_NAME, type Family } from "./family.ts";
import { type Backend, Iptables, programName, VARIANTS } from "./iptables.ts";
import type { Machine } from "./machine.ts";
import { holdsForeignRules, holdsOwnChains, PROBE_CHAIN } from "./nat-table.ts";
import { renderProbe, renderRule } from "./restore.ts";

/** What the rules need of the kernel beside the nat table, each with the rule that shows it. */
const FEATURES: readonly { readonly name: string; readonly module: string; readonly rule: string }[] = [
  {
    name: "the owner match",
    module: "xt_owner",
    rule: renderRule({ kind: "user", uid: 1337 }, { kind: "return" }),
  },
  {
    name: "the multiport match",
    module: "xt_multiport",
    rule: renderRule({ kind: "destination-ports", ports: [{ first: 1, last: 3 }] }, { kind: "return" }),
  },
  {
    name: "the REDIRECT target",
    module: "xt_REDIRECT",
    rule: renderRule({ kind: "tcp" }, { kind: "redirect", port: 1 }),
  },
];

/** The installed variants of a family, each backend once: nft, then legacy, then what is just called iptables. */
export async function installedVariants(machine: Machine, family: Family): Promise<Iptables[]> {
  const found = new Map<Backend, Iptables>();
  for (const variant of VARIANTS) {
    const iptables = await Iptables.find(machine, family, variant);
    if (iptables !== undefined && !found.has(iptables.backend)) found.set(iptables.backend, iptables);
  }
  return [...found.values()];
}

/**
 * The first variant that works: one that holds our chains before one that holds others' nat rules before nft before
 * legacy. Throws what stopped each when none works. Leaves no rule behind.
 */
export async function detectIptables(machine: Machine, family: Family): Promise<Iptables> {
  const installed = await installedVariants(machine, family);
  if (installed.length === 0) {
    throw new CaptureError(
      "no-iptables",
      `no ${programName(family, "plain")} program (with -save and -restore beside it) is in PATH, so ${FAMILY_NAME[family]} traffic cannot be captured`,
      { hint: "Install the package iptables; Tulle's own image holds it." },
    );
  }
  const ranked = await Promise.all(installed.map(async (iptables) => ({ iptables, rank: await rankOf(iptables) })));
  ranked.sort((a, b) => a.rank - b.rank);
  const problems: CaptureError[] = [];
  for (const { iptables } of ranked) {
    const problem = await tryOut(iptables);
    if (problem === undefined) return iptables;
    // The variant works, only not now: another one would hide the rules from whoever uses this one.
    if (problem.code === "lock-held") throw problem;
    problems.push(problem);
  }
  const [first, ...others] = problems;
  if (first === undefined || others.length === 0) throw first;
  throw new CaptureError(first.code, [first, ...others].map((problem) => problem.message).join("; and "), {
    ...(first.hint === undefined ? {} : { hint: first.hint }),
    cause: first,
  });
}

async function rankOf(iptables: Iptables): Promise<number> {
  try {
    const table = await iptables.read();
    if (holdsOwnChains(table)) return 0;
    return holdsForeignRules(table) ? 1 : 2;
  } catch {
    // Its own trial will say why it cannot be read.
    return 3;
  }
}

/** Writes the probe chain and takes it out again; answers what stopped it. */
async function tryOut(iptables: Iptables): Promise<CaptureError | undefined> {
  const all = await probe(
    iptables,
    FEATURES.map((feature) => feature.rule),
  );
  if (all === undefined || all.code !== "iptables-failed") return all;
  // Someone wrote the table with nft itself, in a way that iptables-nft cannot show: nothing that a module would mend.
  if (/incompatible/i.test(all.message)) return all;
  const table = await probe(iptables, []);
  if (table !== undefined) {
    return unsupported(
      iptables,
      "the nat table",
      iptables.backend === "legacy" ? "iptable_nat" : "nft_chain_nat",
      table,
    );
  }
  for (const feature of FEATURES) {
    const problem = await probe(iptables, [feature.rule]);
    if (problem !== undefined) return unsupported(iptables, feature.name, feature.module, problem);
  }
  return all;
}

async function probe(iptables: Iptables, rules: readonly string[]): Promise<CaptureError | undefined> {
  try {
    await iptables.restore(renderProbe(rules), "write a rule to the nat table");
    await iptables.restore(`*nat\n-F ${PROBE_CHAIN}\n-X ${PROBE_CHAIN}\nCOMMIT\n`, "take the probe rule out again");
    return undefined;
  } catch (error) {
    if (error instanceof CaptureError) return error;
    throw error;
  }
}

function unsupported(iptables: Iptables, what: string, module: string, cause: CaptureError): CaptureError {
  const kernelModule = iptables.family === "ipv6" && module === "iptable_nat" ? "ip6table_nat" : module;
  return new CaptureError(
    "no-kernel-support",
    `the kernel does not offer ${what} to ${iptables.name} (${cause.cause instanceof Error ? cause.cause.message : cause.message})`,
    { hint: `Load the module on the node (modprobe ${kernelModule}), or use a kernel that has it.`, cause },
  );
}

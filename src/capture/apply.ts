/** From a configuration to rules in the kernel, both families or a clear refusal. */
import { requireNetAdmin } from "./capabilities.ts";
import { cleanVariant } from "./cleanup.ts";
import type { CaptureConfig } from "./config.ts";
import { detectIptables, installedVariants } from "./detect.ts";
import { CaptureError } from "./errors.ts";
import { FAMILIES, FAMILY_NAME, type Family, familyNeed } from "./family.ts";
import type { Iptables } from "./iptables.ts";
import type { Machine } from "./machine.ts";
import { renderRestore } from "./restore.ts";
import { captureRules, type RuleSet } from "./rules.ts";
import { verifyCapture } from "./verify.ts";

export interface AppliedFamily {
  readonly family: Family;
  readonly iptables: Iptables;
  /** The pod has an address of this family, so the self-test can and must be made. */
  readonly inUse: boolean;
}

export interface CaptureOutcome {
  readonly applied: readonly AppliedFamily[];
  /** Families left out because the pod has no address of them and they cannot be programmed, each with why. */
  readonly skipped: readonly { readonly family: Family; readonly why: string }[];
}

/**
 * Writes the rules, in one transaction a family, and reads them back. Nothing is written before every family that
 * the pod needs is known to work; doing it again changes nothing. Throws CaptureError: capture fails closed, above all
 * when the pod has an IPv6 address and ip6tables does not work.
 */
export async function applyCapture(machine: Machine, config: CaptureConfig): Promise<CaptureOutcome> {
  requireNetAdmin(machine);
  const rules = captureRules(config);
  const chosen: AppliedFamily[] = [];
  const skipped: { family: Family; why: string }[] = [];
  let firstProblem: CaptureError | undefined;
  for (const family of FAMILIES) {
    const need = familyNeed(machine, family);
    if (need.kind === "absent") continue;
    try {
      chosen.push({ family, iptables: await detectIptables(machine, family), inUse: need.kind === "required" });
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      firstProblem ??= error;
      if (need.kind === "required") throw family === "ipv6" ? uncapturedIpv6(need.ip, error) : error;
      skipped.push({ family, why: error.message });
    }
  }
  if (chosen.length === 0 && firstProblem !== undefined) throw firstProblem;
  for (const { family, iptables } of chosen) {
    await write(iptables, rules, family);
    await cleanOthers(machine, iptables);
  }
  return { applied: chosen, skipped };
}

async function write(iptables: Iptables, rules: RuleSet, family: Family): Promise<void> {
  const text = renderRestore(rules, family, await iptables.read());
  await iptables.restore(text, `write the ${FAMILY_NAME[family]} rules`);
  const differences = verifyCapture(rules, family, await iptables.read());
  if (differences.length === 0) return;
  throw new CaptureError(
    "not-as-written",
    `${iptables.name} does not show the rules that were written: ${differences.join("; ")}`,
    { hint: "Another program writes rules at the same time: stop it and run init again." },
  );
}

/** Rules that an earlier run left in the other variant would be judged too, with its ports. */
async function cleanOthers(machine: Machine, chosen: Iptables): Promise<void> {
  for (const other of await installedVariants(machine, chosen.family)) {
    if (other.backend === chosen.backend) continue;
    try {
      await cleanVariant(other);
    } catch (error) {
      // A process that cannot use the legacy programs never wrote with them.
      if (!(error instanceof CaptureError && error.code === "no-net-raw")) throw error;
    }
  }
}

function uncapturedIpv6(ip: string, cause: CaptureError): CaptureError {
  return new CaptureError(
    "ipv6-uncaptured",
    `the pod has the IPv6 address ${ip}, whose traffic would leave in plaintext: ${cause.message}`,
    {
      hint: `${cause.hint ?? "Make ip6tables work on this node."} Or give the pod no IPv6 address.`,
      cause,
    },
  );
}

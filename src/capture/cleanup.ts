/** Takes out everything that is ours and nothing else. */
import { requireNetAdmin } from "./capabilities.ts";
import { installedVariants } from "./detect.ts";
import { CaptureError } from "./errors.ts";
import { FAMILIES, type Family, familyNeed } from "./family.ts";
import type { Iptables } from "./iptables.ts";
import type { Machine } from "./machine.ts";
import { holdsOwnChains } from "./nat-table.ts";
import { renderCleanup } from "./restore.ts";

export interface CleanedFamily {
  readonly family: Family;
  /** The program by which the rules were taken out, such as `iptables-nft`. */
  readonly program: string;
}

/**
 * Removes the chains and every jump to them, in whichever variant holds them; others' rules keep their order. Answers
 * where there was something. Doing it twice is no error. Throws CaptureError.
 */
export async function cleanupCapture(machine: Machine): Promise<CleanedFamily[]> {
  requireNetAdmin(machine);
  const cleaned: CleanedFamily[] = [];
  let programs = 0;
  for (const family of FAMILIES) {
    if (familyNeed(machine, family).kind === "absent") continue;
    for (const iptables of await installedVariants(machine, family)) {
      programs++;
      if (await cleanVariant(iptables)) cleaned.push({ family, program: iptables.name });
    }
  }
  if (programs === 0) {
    throw new CaptureError("no-iptables", "no iptables program is in PATH, so no rule can be taken out", {
      hint: "Install the package iptables.",
    });
  }
  return cleaned;
}

/** True when there was something to take out. */
export async function cleanVariant(iptables: Iptables): Promise<boolean> {
  const text = renderCleanup(await iptables.read());
  if (text === undefined) return false;
  await iptables.restore(text, "take out Tulle's rules");
  if (holdsOwnChains(await iptables.read())) {
    throw new CaptureError("not-as-written", `${iptables.name} still shows chains of Tulle after they were taken out`, {
      hint: "Another program writes rules at the same time: stop it and try again.",
    });
  }
  return true;
}

/** The closed list of checks, run over one snapshot. */

import { Unseen } from "../seen.ts";
import { AFTER } from "./after.ts";
import { BEFORE } from "./before.ts";
import type { Check, Finding, Verdict } from "./finding.ts";
import type { Snapshot } from "./snapshot.ts";
import { SURROUNDINGS } from "./surroundings.ts";

export const CHECKS: readonly Check[] = [...BEFORE, ...AFTER, ...SURROUNDINGS];

export interface CheckResult {
  readonly id: string;
  readonly claim: string;
  /** The worst of its findings. */
  readonly verdict: Verdict;
  readonly findings: readonly Finding[];
}

const RANK: readonly Verdict[] = ["pass", "warn", "fail"];

/** `before`: the checks of a cluster that is to get Tulle; else those of an installation, where there is one. */
export function runChecks(snapshot: Snapshot, phase: "before" | "after"): readonly CheckResult[] {
  const there = !(snapshot.operator instanceof Unseen) && snapshot.operator !== undefined;
  const asked = CHECKS.filter(({ when, id }) => {
    // Without an operator there is one thing to say about the mesh, not ten.
    if (when === "after" && phase === "after") return there || id === "operator";
    return when === "always" || when === phase;
  });
  return asked.map((check) => {
    const findings = judge(check, snapshot);
    const verdict = findings.reduce<Verdict>(
      (worst, one) => (RANK.indexOf(one.verdict) > RANK.indexOf(worst) ? one.verdict : worst),
      "pass",
    );
    return { id: check.id, claim: check.claim, verdict, findings };
  });
}

function judge(check: Check, snapshot: Snapshot): readonly Finding[] {
  try {
    return check.judge(snapshot);
  } catch (error) {
    if (!(error instanceof Unseen)) throw error;
    return [
      { verdict: "warn", text: `could not be looked at: ${error.message}`, fix: "Check as someone who may read it." },
    ];
  }
}

/** What a check finds. No finding of the kinds `warn` and `fail` is a pass. */
import type { Snapshot } from "./snapshot.ts";

export type Verdict = "pass" | "warn" | "fail";

export interface Finding {
  readonly verdict: Verdict;
  /** What is so, in one sentence. */
  readonly text: string;
  /** What to do about it: a command where there is one. */
  readonly fix?: string;
}

export interface Check {
  /** Stable, safe to match on. */
  readonly id: string;
  /** Before an installation, on one that is there, or both. */
  readonly when: "before" | "after" | "always";
  /** What is asked, as a short statement that should be true. */
  readonly claim: string;
  /** Judges what was seen. Throws Unseen where something may not be looked at. */
  readonly judge: (snapshot: Snapshot) => readonly Finding[];
}

export function fail(text: string, fix: string): Finding {
  return { verdict: "fail", text, fix };
}

export function warn(text: string, fix?: string): Finding {
  return { verdict: "warn", text, ...(fix === undefined ? {} : { fix }) };
}

export function pass(text: string): Finding {
  return { verdict: "pass", text };
}

/** `a, b, c and 4 more`. */
export function some(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** Makes an input that breaks something as small and plain as it goes, while it breaks the same. */
import { splice } from "./mutate.ts";

const MOST_RUNS = 5_000;
const PLAIN = 0x30;

/** `run` answers how an input breaks, if it does. */
export function minimise(input: Uint8Array, error: Error, run: (input: Uint8Array) => Error | undefined): Uint8Array {
  const wanted = kindOf(error);
  let best = input;
  let left = MOST_RUNS;
  const tried = (candidate: Uint8Array): boolean => {
    if (left-- <= 0) return false;
    const found = run(candidate);
    if (found === undefined || kindOf(found) !== wanted) return false;
    best = candidate;
    return true;
  };
  for (let piece = Math.ceil(best.length / 2); piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2)) {
    for (let at = 0; at < best.length; ) {
      const count = Math.min(piece, best.length - at);
      if (!tried(splice(best, at, count, new Uint8Array(0)))) at += count;
    }
  }
  for (let at = 0; at < best.length; at++) {
    if (best[at] === PLAIN || best[at] === 0) continue;
    if (!tried(splice(best, at, 1, Uint8Array.of(PLAIN)))) tried(splice(best, at, 1, Uint8Array.of(0)));
  }
  return best;
}

/** What tells one defect from another: the error without numbers and quoted text, and where it was thrown. */
export function kindOf(error: Error): string {
  const place = (error.stack ?? "").split("\n").find((line) => line.includes("/src/") || line.includes("/targets/"));
  return `${error.name} ${error.message.replace(/"[^"]*"|\d+/g, "").slice(0, 60)} ${place ?? ""}`;
}

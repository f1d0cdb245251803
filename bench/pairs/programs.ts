/** Where the peers lie that bench/peers.sh gets. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../test/support/machine.ts";

const CACHE = join(ROOT, ".cache/bench");

/** Full path of a program. */
export function peerProgram(name: string): string {
  return join(CACHE, "bin", name);
}

/** Why there is no such program, as bench/peers.sh has found; undefined when it was not asked for it. */
export function whyMissing(name: string): string | undefined {
  try {
    return readFileSync(join(CACHE, `${name}.why`), "utf8").trim();
  } catch {
    return undefined;
  }
}

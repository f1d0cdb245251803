/**
 * File descriptors that are left. A listener that cannot accept because the process has none is told again at once, and for
 * ever: one processor is lost (seen with Bun 1.4.5). So the last ones are kept, and who comes then is refused.
 *
 * The kernel hands out the lowest free number. A new descriptor with a high one therefore says that nearly all are taken.
 */
import { closeSync, openSync, readFileSync } from "node:fs";

/** Kept for what the proxy itself opens: tunnels to peers, the operator, probes, files. */
export const DESCRIPTORS_KEPT = 64;
/** Of a small limit at most this part is kept. */
const LARGEST_PART = 4;
/** The limit may be changed from outside (prlimit). */
const LIMIT_LIVES = 1_000;

/** Why something is refused, for a log. */
export const NO_DESCRIPTORS = "no file descriptors are left: raise the limit of open files (ulimit -n)";
/** How often the kernel is asked while there are enough: fewer dials than are kept. */
const ASK_EVERY = 32;

let limit = Number.POSITIVE_INFINITY;
let limitReadAt = Number.NEGATIVE_INFINITY;
let short = false;
let asked = 0;

/** True when the descriptor, just made, is one of those that are kept. */
export function isLastDescriptor(fd: number): boolean {
  return fd >= readLimit() - kept();
}

/** True when the next descriptor would be one of those that are kept. To be asked before each dial. */
export function descriptorsAreShort(): boolean {
  if (!short && ++asked % ASK_EVERY !== 0) return false;
  const fd = nextDescriptor();
  short = fd === undefined || isLastDescriptor(fd);
  return short;
}

/** True when those that are kept are nearly used up too. */
export function descriptorsAreGone(): boolean {
  const fd = nextDescriptor();
  return fd === undefined || fd >= readLimit() - kept() / LARGEST_PART;
}

/** The number that the kernel would give out now; undefined when it has none. */
function nextDescriptor(): number | undefined {
  try {
    const fd = openSync("/dev/null", "r");
    closeSync(fd);
    return fd;
  } catch {
    return undefined;
  }
}

function kept(): number {
  return Math.min(DESCRIPTORS_KEPT, readLimit() / LARGEST_PART);
}

/** RLIMIT_NOFILE of this process (proc(5)); keeps the last answer when no descriptor is left to ask with. */
function readLimit(): number {
  const now = performance.now();
  if (now - limitReadAt < LIMIT_LIVES) return limit;
  limitReadAt = now;
  try {
    const text = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    limit = text === undefined ? Number.POSITIVE_INFINITY : Number(text);
  } catch {
    // Asked again in a second.
  }
  return limit;
}

/**
 * The resident size of a proxy that has started. Two thirds of it are pages of the program that only the start needed: they
 * belong to a file, so the kernel brings those that are needed again back from its cache.
 */
import { readFileSync } from "node:fs";
import { openLibc } from "../capture/index.ts";

const MADV_DONTNEED = 4;
/** A mapping of a file (its inode is not 0) from which code is run and into which nothing can have been written. */
const CODE = /^([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [1-9]\d* /gm;

/** Drops what the start has left: garbage, and code that is mapped. Costs a few ms; refusals of the kernel do no harm. */
export function releaseStartMemory(): void {
  Bun.gc(true);
  const { madvise } = openLibc({ madvise: { args: ["usize", "usize", "i32"], returns: "i32" } });
  for (const [, start = "", end = ""] of readFileSync("/proc/self/maps", "utf8").matchAll(CODE)) {
    const address = Number.parseInt(start, 16);
    madvise(address, Number.parseInt(end, 16) - address, MADV_DONTNEED);
  }
}

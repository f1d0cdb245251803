/**
 * The resident size of a proxy that has little to do. Two thirds of it are pages of the program that only the start or the last
 * busy time needed: they belong to a file, so the kernel brings those that are needed again back from its cache.
 */
import { readFileSync } from "node:fs";
import { openLibc } from "../capture/index.ts";
import type { Clock, Millis } from "../mesh/index.ts";

const MADV_DONTNEED = 4;
/** A mapping of a file (its inode is not 0) from which code is run and into which nothing can have been written. */
const CODE = /^([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [1-9]\d* /gm;

const LOOK_INTERVAL: Millis = 2_000;
/** What a quiet proxy does between two looks at most, as `work` counts. */
const QUIET_WORK = 20;

type Libc = ReturnType<typeof load>;
let libc: Libc | undefined;

/** Drops garbage, and code that is mapped. Costs some 10 ms; refusals of the kernel do no harm. */
export function releaseMemory(): void {
  Bun.gc(true);
  libc ??= load();
  for (const [, start = "", end = ""] of readFileSync("/proc/self/maps", "utf8").matchAll(CODE)) {
    const address = Number.parseInt(start, 16);
    libc.madvise(address, Number.parseInt(end, 16) - address, MADV_DONTNEED);
  }
}

function load() {
  return openLibc({ madvise: { args: ["usize", "usize", "i32"], returns: "i32" } });
}

/** Releases memory once each time that it has become quiet: after the start, and after a busy time. */
export class QuietMemory implements Disposable {
  readonly #clock: Clock;
  readonly #work: () => number;
  readonly #release: () => void;
  #seen: number;
  #released = false;
  #timer: Disposable;

  /** `work` only grows: by one with each connection, and with each 64 KiB. */
  constructor(clock: Clock, work: () => number, release: () => void = releaseMemory) {
    this.#clock = clock;
    this.#work = work;
    this.#release = release;
    this.#seen = work();
    this.#timer = this.#next();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #next(): Disposable {
    return this.#clock.after(LOOK_INTERVAL, () => {
      this.#look();
      this.#timer = this.#next();
    });
  }

  #look(): void {
    const work = this.#work();
    const quiet = work - this.#seen <= QUIET_WORK;
    this.#seen = work;
    if (quiet && !this.#released) this.#release();
    this.#released = quiet;
  }
}

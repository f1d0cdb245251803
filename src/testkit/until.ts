/** Waits, in a test, for what another part of the process is about to do. */

/** Looks again every few milliseconds; fails after `limit` ms, naming what was waited for. */
export async function until(condition: () => boolean, what: string, limit = 10_000): Promise<void> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${limit} ms in vain: ${what}`);
    await Bun.sleep(2);
  }
}

/**
 * Output buffers lent to connections that have something to send: an idle connection holds none. Two sizes: a turn of
 * requests and answers fits the small one, bulk data gets the large one.
 */

export const SMALL_BUFFER = 16 * 1024;
export const LARGE_BUFFER = 256 * 1024;

/** Kept for reuse: 1 MiB of small and 2 MiB of large buffers in the whole process. */
const SMALL_KEPT = 64;
const LARGE_KEPT = 8;

const small: Uint8Array[] = [];
const large: Uint8Array[] = [];

/** At least `bytes` long; its content is arbitrary. */
export function lend(bytes: number): Uint8Array {
  if (bytes <= SMALL_BUFFER) return small.pop() ?? new Uint8Array(SMALL_BUFFER);
  if (bytes <= LARGE_BUFFER) return large.pop() ?? new Uint8Array(LARGE_BUFFER);
  return new Uint8Array(2 ** Math.ceil(Math.log2(bytes)));
}

/** Gives back what `lend` gave; the caller keeps no view of it. */
export function giveBack(buffer: Uint8Array): void {
  if (buffer.length === SMALL_BUFFER && small.length < SMALL_KEPT) small.push(buffer);
  else if (buffer.length === LARGE_BUFFER && large.length < LARGE_KEPT) large.push(buffer);
}

/** The log of one run of a container: bounded in memory, readable while it grows. */

/** What one run of a container may keep; older output is dropped in whole chunks. */
export const LOG_LIMIT = 8 * 1024 * 1024;
const CHUNK = 64 * 1024;

export class ContainerLog {
  readonly #limit: number;
  readonly #chunks: Uint8Array[] = [];
  #size = 0;
  #dropped = 0;
  #closed = false;
  readonly #followers = new Set<(chunk: Uint8Array | undefined) => void>();

  constructor(limit: number = LOG_LIMIT) {
    this.#limit = limit;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes that were dropped to keep the limit. */
  get dropped(): number {
    return this.#dropped;
  }

  append(bytes: Uint8Array): void {
    if (this.#closed || bytes.length === 0) return;
    const last = this.#chunks.at(-1);
    const copy = bytes.slice();
    if (last !== undefined && last.length + copy.length <= CHUNK) {
      const joined = new Uint8Array(last.length + copy.length);
      joined.set(last);
      joined.set(copy, last.length);
      this.#chunks[this.#chunks.length - 1] = joined;
    } else this.#chunks.push(copy);
    this.#size += copy.length;
    while (this.#size > this.#limit && this.#chunks.length > 1) {
      const first = this.#chunks.shift() as Uint8Array;
      this.#size -= first.length;
      this.#dropped += first.length;
    }
    for (const follower of this.#followers) follower(copy);
  }

  /** The container ended: followers are told and let go. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const follower of this.#followers) follower(undefined);
    this.#followers.clear();
  }

  /** What is kept, from the last `lines` lines on (all of it when undefined). */
  read(lines?: number): Uint8Array {
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    if (lines === undefined) return all;
    if (lines <= 0) return new Uint8Array(0);
    // A final newline ends the last line, it does not begin another.
    let from = all.length - 1;
    for (let found = 0; from > 0; from--) {
      if (all[from - 1] === 10 && ++found === lines) break;
    }
    return all.subarray(Math.max(from, 0));
  }

  /** Calls with each new chunk, then with undefined at the end; disposing stops it. */
  follow(follower: (chunk: Uint8Array | undefined) => void): Disposable {
    if (this.#closed) {
      follower(undefined);
      return { [Symbol.dispose]: () => undefined };
    }
    this.#followers.add(follower);
    return { [Symbol.dispose]: () => void this.#followers.delete(follower) };
  }
}

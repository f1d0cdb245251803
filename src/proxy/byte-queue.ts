/** Bytes that could not be passed on yet, in order. Empty in the common case, and then it costs nothing. */

export class ByteQueue {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  /** Bytes held. */
  get size(): number {
    return this.#size;
  }

  /** Takes the chunk over: the caller must not write to it any more. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The oldest bytes, or undefined when empty. */
  peek(): Uint8Array | undefined {
    return this.#chunks[0];
  }

  /** Forgets the first `count` bytes of what `peek` showed (`count` ≤ its length). */
  drop(count: number): void {
    const first = this.#chunks[0];
    if (first === undefined) return;
    this.#size -= count;
    if (count === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#size = 0;
  }
}

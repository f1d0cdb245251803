/** Bytes that could not be passed on yet, in order. Empty in the common case, and then it costs nothing. */

/** Chunks below this are put together: a peer that sends single bytes would cost us a hundred for each. */
const SMALL = 2048;
/** What is put together stays below this. */
const LARGEST_BLOCK = 16 * 1024;

export class ByteQueue {
  readonly #chunks: Uint8Array[] = [];
  /** Memory of the last chunk that has room behind it; undefined when that is not ours to write to. */
  #block: Uint8Array | undefined;
  #size = 0;

  /** Bytes held. */
  get size(): number {
    return this.#size;
  }

  /** Takes the chunk over: the caller must not write to it any more. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#size += chunk.length;
    const last = this.#chunks.at(-1);
    if (last !== undefined && chunk.length < SMALL && last.length + chunk.length <= LARGEST_BLOCK) {
      this.#chunks[this.#chunks.length - 1] = this.#append(last, chunk);
      return;
    }
    this.#block = undefined;
    this.#chunks.push(chunk);
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
    this.#block = undefined;
    this.#size = 0;
  }

  /** Both as one chunk, in the memory of the first where that has room. */
  #append(last: Uint8Array, chunk: Uint8Array): Uint8Array {
    let block = this.#block;
    let end = last.byteOffset + last.length;
    if (block === undefined || end + chunk.length > block.length) {
      // Twice as much as is there: each byte is moved a few times at most.
      block = new Uint8Array(Math.min(LARGEST_BLOCK, 2 * (last.length + chunk.length)));
      block.set(last);
      this.#block = block;
      end = last.length;
      block.set(chunk, end);
      return block.subarray(0, end + chunk.length);
    }
    block.set(chunk, end);
    return block.subarray(last.byteOffset, end + chunk.length);
  }
}

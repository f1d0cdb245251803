/** Chance that can be repeated: the same seed gives the same search. */
import { SeededRandom } from "../../src/testkit/seeded-random.ts";

export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    // The first numbers of neighbouring seeds are alike.
    this.#random.bytes(32);
  }

  /** 0 to `count - 1`. */
  below(count: number): number {
    return Math.floor(this.#random.fraction() * count);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  bytes(count: number): Uint8Array {
    return this.#random.bytes(count);
  }
}

/** A seed that an input stands for: choices that belong to it. */
export function seedOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

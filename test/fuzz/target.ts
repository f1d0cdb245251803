/** What a fuzz target is: a parser of bytes that come from elsewhere, and what must hold whatever the bytes are. */
import type { Dice } from "./dice.ts";

export interface Target {
  /** Throws, whatever it is, when something does not hold. Must depend on the input alone. */
  readonly run: (input: Uint8Array) => void;
  /** Where the search starts, beside the kept seeds. */
  readonly examples: readonly Uint8Array[];
  /** Longest input, bytes; default 4096. */
  readonly longest?: number;
  /** Pieces that mean something to the parser. */
  readonly tokens?: readonly Uint8Array[];
  /** Changes an input so that it keeps its structure: lengths fit, parts move as wholes. */
  readonly mutate?: (input: Uint8Array, dice: Dice) => Uint8Array;
}

/** A promise of the code under test does not hold. */
export class Broken extends Error {
  override readonly name = "Broken";
}

export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Broken(what);
}

/** Two ways to the same must agree. */
export function same(found: unknown, expected: unknown, what: string): void {
  if (Bun.deepEquals(found, expected, true)) return;
  throw new Broken(`${what}: ${Bun.inspect(found).slice(0, 300)} is not ${Bun.inspect(expected).slice(0, 300)}`);
}

/** The result, or undefined when it was refused as the parser declares; any other exception goes on. */
export function unlessRefused<T>(parse: () => T, declared: (error: unknown) => boolean): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (declared(error)) return undefined;
    throw error;
  }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

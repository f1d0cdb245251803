/** Changes of bytes that know nothing of their meaning. */
import type { Dice } from "./dice.ts";

/** What breaks arithmetic. */
const INTERESTING = [0, 1, 7, 8, 16, 31, 32, 63, 64, 100, 126, 127, 128, 129, 191, 192, 254, 255];
const LONGEST_PIECE = 32;

/** One change, chosen by chance. `others`: inputs to take pieces from. */
export function mutateBytes(
  input: Uint8Array,
  dice: Dice,
  tokens: readonly Uint8Array[] = [],
  others: readonly Uint8Array[] = [],
): Uint8Array {
  const at = dice.below(input.length + 1);
  const piece = Math.min(1 + dice.below(dice.once(4) ? LONGEST_PIECE : 4), input.length - at);
  switch (dice.below(11)) {
    case 0:
      return overwrite(input, at, Uint8Array.of((input[at] ?? 0) ^ (1 << dice.below(8))));
    case 1:
      return overwrite(input, at, Uint8Array.of(dice.pick(INTERESTING)));
    case 2:
      return overwrite(input, at, Uint8Array.of((input[at] ?? 0) + dice.below(17) - 8));
    case 3:
      return overwrite(input, at, dice.bytes(1 + dice.below(4)));
    case 4:
      return splice(input, at, piece, new Uint8Array(0));
    case 5:
      return splice(input, at, 0, dice.bytes(1 + dice.below(8)));
    case 6:
      return splice(input, dice.below(input.length + 1), 0, input.subarray(at, at + piece));
    case 7:
      return overwrite(input, dice.below(input.length + 1), input.slice(at, at + piece));
    case 8: {
      const other = others.length === 0 ? input : dice.pick(others);
      const from = dice.below(other.length + 1);
      return splice(input, at, input.length - at, other.subarray(from));
    }
    default: {
      if (tokens.length === 0) return splice(input, at, 0, new Uint8Array(1 + dice.below(64)).fill(dice.below(256)));
      const token = dice.pick(tokens);
      return splice(input, at, dice.once(2) ? 0 : Math.min(token.length, input.length - at), token);
    }
  }
}

/** `input` with `count` bytes from `at` on replaced. */
export function splice(input: Uint8Array, at: number, count: number, by: Uint8Array): Uint8Array {
  const out = new Uint8Array(input.length - count + by.length);
  out.set(input.subarray(0, at));
  out.set(by, at);
  out.set(input.subarray(at + count), at + by.length);
  return out;
}

function overwrite(input: Uint8Array, at: number, by: Uint8Array): Uint8Array {
  return splice(input, at, Math.min(by.length, input.length - at), by);
}

/** One change of a list: an element left out, doubled, moved, changed or new. */
export function mutateList<T>(list: readonly T[], dice: Dice, change: (element: T) => T, fresh: () => T): readonly T[] {
  if (list.length === 0) return [fresh()];
  const out = [...list];
  const at = dice.below(out.length);
  const kind = dice.below(8);
  if (kind === 0) out.splice(at, 1);
  else if (kind === 1) out.splice(dice.below(out.length + 1), 0, out[at] as T);
  else if (kind === 2) out.splice(dice.below(out.length), 0, ...out.splice(at, 1));
  else if (kind <= 5) out[at] = change(out[at] as T);
  else out.splice(dice.below(out.length + 1), 0, fresh());
  return out;
}

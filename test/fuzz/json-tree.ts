/** JSON, changed so that it stays JSON. */
import type { Dice } from "./dice.ts";
import { mutateBytes, mutateList } from "./mutate.ts";
import { bytesOf } from "./target.ts";

const VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  80,
  1337,
  15_008,
  70_000,
  1.5,
  2 ** 53,
  "",
  "enabled",
  "disabled",
  "strict",
  "tulle-proxy",
  "__proto__",
  "$(A)",
  "80",
  [],
  {},
  [null],
  [[]],
];

/**
 * One value left out, doubled, moved or another; bytes that are no JSON are changed as bytes. `keys`: names that fields may get.
 */
export function mutateJson(input: Uint8Array, dice: Dice, keys: readonly string[]): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(input).toString("utf8"));
  } catch {
    return mutateBytes(input, dice);
  }
  return bytesOf(JSON.stringify(mutate(value, dice, keys)));
}

function mutate(value: unknown, dice: Dice, keys: readonly string[]): unknown {
  if (dice.once(12)) return dice.pick(VALUES);
  if (Array.isArray(value)) {
    return mutateList<unknown>(
      value,
      dice,
      (one) => mutate(one, dice, keys),
      () => dice.pick(VALUES),
    );
  }
  if (typeof value === "object" && value !== null) {
    const entries = mutateList(
      Object.entries(value),
      dice,
      ([key, one]): [string, unknown] => (dice.once(6) ? [dice.pick(keys), one] : [key, mutate(one, dice, keys)]),
      (): [string, unknown] => [dice.pick(keys), dice.pick(VALUES)],
    );
    return Object.fromEntries(entries);
  }
  if (typeof value === "string" && dice.once(2)) {
    return Buffer.from(mutateBytes(Buffer.from(value), dice)).toString("utf8");
  }
  return dice.pick(VALUES);
}

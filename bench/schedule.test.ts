import { describe, expect, test } from "bun:test";
import { turns } from "./schedule.ts";

describe("turns", () => {
  test("go forwards in even rounds and backwards in odd ones", () => {
    const order = [0, 1, 2].flatMap((round) => turns(["a", "b"], round)).join("");
    expect(order).toBe("abbaab");
  });

  test("leave the list as it is", () => {
    const all = ["a", "b", "c"];
    expect(turns(all, 1)).toEqual(["c", "b", "a"]);
    expect(all).toEqual(["a", "b", "c"]);
  });
});

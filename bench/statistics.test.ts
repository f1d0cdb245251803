import { describe, expect, test } from "bun:test";
import { spread } from "./statistics.ts";

describe("spread", () => {
  test("of an odd number has the middle one as median, whatever the order", () => {
    expect(spread([9, 1, 4])).toEqual({ min: 1, median: 4, max: 9, count: 3 });
  });

  test("of an even number has the mean of the middle two", () => {
    expect(spread([10, 1, 2, 4])).toEqual({ min: 1, median: 3, max: 10, count: 4 });
  });

  test("sorts by value, not as text", () => {
    expect(spread([100, 20, 3])?.median).toBe(20);
  });

  test("of one value is that value", () => {
    expect(spread([7])).toEqual({ min: 7, median: 7, max: 7, count: 1 });
  });

  test("of nothing is undefined", () => {
    expect(spread([])).toBeUndefined();
  });
});

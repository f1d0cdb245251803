import { expect, test } from "bun:test";
import { folded } from "./screen.ts";

test("lines are cut after spaces or commas, and where they must be cut when there is none", () => {
  expect(folded("short", 10)).toEqual(["short"]);
  expect(folded("one two three four", 10)).toEqual(["one two", "three four"]);
  expect(folded('{"a":1,"b":2,"c":3}', 10)).toEqual(['{"a":1,', '"b":2,', '"c":3}']);
  expect(folded("x".repeat(25), 10).map((part) => part.length)).toEqual([10, 10, 5]);
});

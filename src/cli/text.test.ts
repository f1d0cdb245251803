import { expect, test } from "bun:test";
import { wrapped } from "./text.ts";

test("no line is longer than 100 columns with its indent, and no word is lost", () => {
  const text = "namespace demo enforces baseline, which refuses pods with NET_ADMIN ".repeat(5).trim();
  const lines = wrapped(text, 25).split("\n");
  expect(Math.max(...lines.map((line, index) => line.length + (index === 0 ? 25 : 0)))).toBeLessThanOrEqual(100);
  expect(lines.map((line) => line.trim()).join(" ")).toBe(text);
});

test("a word that is too long stands alone", () => {
  expect(wrapped(`a ${"b".repeat(120)} c`, 2)).toBe(`a\n  ${"b".repeat(120)}\n  c`);
});

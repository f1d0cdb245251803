import { expect, test } from "bun:test";
import { table, wrapped } from "./text.ts";

test("no line is longer than 100 columns with its indent, and no word is lost", () => {
  const text = "namespace demo enforces baseline, which refuses pods with NET_ADMIN ".repeat(5).trim();
  const lines = wrapped(text, 25).split("\n");
  expect(Math.max(...lines.map((line, index) => line.length + (index === 0 ? 25 : 0)))).toBeLessThanOrEqual(100);
  expect(lines.map((line) => line.trim()).join(" ")).toBe(text);
});

test("a word that is too long stands alone", () => {
  expect(wrapped(`a ${"b".repeat(120)} c`, 2)).toBe(`a\n  ${"b".repeat(120)}\n  c`);
});

test("a table pads all columns but the last, which is wrapped under its head", () => {
  const rows = [
    ["NAME", "WHY"],
    ["a", "word ".repeat(30).trim()],
    ["longer", ""],
  ];
  expect(table(rows)).toBe(
    `NAME    WHY\na       ${"word ".repeat(18).trim()}\n        ${"word ".repeat(12).trim()}\nlonger\n`,
  );
  expect(
    table(
      [
        ["A", "B"],
        ["1", "2"],
      ],
      2,
    ),
  ).toBe("  A  B\n  1  2\n");
});

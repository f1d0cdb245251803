import { expect, test } from "bun:test";
import { readYaml } from "./yaml.ts";

test("YAML is read as Helm reads it: yes is true, a date is text", () => {
  expect(readYaml("a: yes\nb: 2026-01-15\n---\n# empty\n", "values.yaml", "bad-values")).toEqual([
    { a: true, b: "2026-01-15" },
  ]);
});

test.each([
  ["a list that is not closed", "a: [1"],
  ["an alias without an anchor", "a: *none"],
  [
    "aliases that multiply",
    "a: &a [1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n",
  ],
])("%s is no YAML, and the file is named", (_what, text) => {
  expect(() => readYaml(text, "values.yaml", "bad-values")).toThrow(
    expect.objectContaining({
      code: "bad-values",
      exitCode: 2,
      message: expect.stringContaining("values.yaml is no YAML"),
    }),
  );
});

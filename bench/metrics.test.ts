import { expect, test } from "bun:test";
import { TEST_TABLES, TESTS } from "./metrics.ts";
import { GOALS } from "./report/goals.ts";

test("every test has one table, and its figures are named after it", () => {
  expect(TEST_TABLES.map((table) => table.test).toSorted()).toEqual([...TESTS].toSorted());
  for (const { test: name, metrics } of TEST_TABLES) for (const { key } of metrics) expect(key).toStartWith(`${name}.`);
});

test("every goal is of a figure that is measured", () => {
  const keys = [...TEST_TABLES.flatMap(({ metrics }) => metrics.map(({ key }) => key)), "memory.idle", "memory.5000"];
  for (const { metric } of GOALS) expect(keys).toContain(metric);
});

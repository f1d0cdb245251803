import { expect, test } from "bun:test";
import { SourceLimit } from "./source-limit.ts";

test("each source has its own places, and what was given back leaves nothing", () => {
  const limit = new SourceLimit(2);
  expect([limit.take("a"), limit.take("a"), limit.take("a"), limit.take("b")]).toEqual([true, true, false, true]);
  limit.give("a");
  expect(limit.take("a")).toBe(true);
  limit.give("a");
  limit.give("a");
  limit.give("b");
  expect(limit.size).toBe(0);
});

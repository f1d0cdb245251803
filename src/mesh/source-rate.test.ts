import { expect, test } from "bun:test";
import { FakeClock } from "../testkit/fake-clock.ts";
import { SourceRate } from "./source-rate.ts";

test("each source has a rate of its own, and the one that came longest ago is forgotten", () => {
  const clock = new FakeClock();
  const rates = new SourceRate({ clock, every: 1_000, burst: 2, most: 2 });
  const take = (...sources: string[]) => sources.map((source) => rates.take(source));
  expect(take("a", "a", "a", "b")).toEqual([true, true, false, true]);
  clock.advance(1_000);
  expect(take("a", "a")).toEqual([true, false]);
  expect(take("c")).toEqual([true]);
  expect(rates.size).toBe(2);
  // `b` was forgotten, `a` was not.
  expect(take("a", "b", "b")).toEqual([false, true, true]);
});

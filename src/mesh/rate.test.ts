import { expect, test } from "bun:test";
import { FakeClock } from "../testkit/fake-clock.ts";
import { Rate } from "./rate.ts";

test("a rate allows a burst, then one each interval, and never saves up more than the burst", () => {
  const clock = new FakeClock();
  const rate = new Rate(clock, 1_000, 3);
  const taken = () => Array.from({ length: 5 }, () => rate.take()).filter((one) => one).length;
  expect(taken()).toBe(3);
  clock.advance(999);
  expect(taken()).toBe(0);
  clock.advance(1);
  expect(taken()).toBe(1);
  clock.advance(3_600_000);
  expect(taken()).toBe(3);
});

test("a rate neither gives nor takes when the clock is set back", () => {
  const clock = new FakeClock();
  const rate = new Rate(clock, 1_000, 2);
  expect(rate.take()).toBe(true);
  clock.step(clock.now() - 3_600_000);
  expect([rate.take(), rate.take()]).toEqual([true, false]);
  clock.advance(1_000);
  expect(rate.take()).toBe(true);
});

test("what a rate is given adds to what is left, up to the burst", () => {
  const rate = new Rate(new FakeClock(), 1_000, 3);
  const taken = () => Array.from({ length: 9 }, () => rate.take()).filter((one) => one).length;
  expect(taken()).toBe(3);
  rate.give(2);
  expect(taken()).toBe(2);
  rate.give(100);
  expect(taken()).toBe(3);
});

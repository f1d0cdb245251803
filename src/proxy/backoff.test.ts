import { expect, test } from "bun:test";
import { Backoff } from "./backoff.ts";

const middle = { bytes: () => new Uint8Array(), fraction: () => 0.5 };

test("doubles from 0.5 s to 150 s and begins again after a success", () => {
  const backoff = new Backoff(middle);
  const waits = Array.from({ length: 11 }, () => backoff.next());
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000]);
  backoff.reset();
  expect(backoff.next()).toBe(500);
});

test("spreads each wait by 20 % either way and never passes the longest one", () => {
  const least = new Backoff({ ...middle, fraction: () => 0 });
  const most = new Backoff({ ...middle, fraction: () => 0.999_999 }, 15_000);
  expect(least.next()).toBe(400);
  expect(most.next()).toBeCloseTo(600, 2);
  for (let i = 0; i < 10; i++) expect(most.next()).toBeLessThanOrEqual(15_000);
});

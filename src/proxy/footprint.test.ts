import { describe, expect, test } from "bun:test";
import { FakeClock } from "../testkit/fake-clock.ts";
import { QuietMemory } from "./footprint.ts";

const PROGRAM = `
  import { readFileSync } from "node:fs";
  const { releaseMemory } = await import(${JSON.stringify(`${import.meta.dir}/footprint.ts`)});
  await import(${JSON.stringify(`${import.meta.dir}/index.ts`)});
  const ofFiles = () => Number(/RssFile:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  const before = ofFiles();
  releaseMemory();
  const after = ofFiles();
  console.log(JSON.stringify({ before, after, sum: [1, 2, 3].map((n) => n ** 2).reduce((a, b) => a + b) }));
`;

test("what only the start needed is no longer resident afterwards, and the program goes on", () => {
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, "-e", PROGRAM]);
  expect(exitCode).toBe(0);
  const { before, after, sum } = JSON.parse(stdout.toString()) as { before: number; after: number; sum: number };
  expect(sum).toBe(14);
  // KiB; at least the half of it.
  expect(after).toBeLessThan(before / 2);
});

describe("memory is released", () => {
  function started() {
    const clock = new FakeClock();
    const seen = { work: 0, released: 0 };
    const memory = new QuietMemory(
      clock,
      () => seen.work,
      () => seen.released++,
    );
    return { clock, seen, memory };
  }

  test("once after the start", () => {
    const { clock, seen } = started();
    clock.advance(1_999);
    expect(seen.released).toBe(0);
    clock.advance(60_000);
    expect(seen.released).toBe(1);
  });

  test("once after each busy time, and not within one", () => {
    const { clock, seen } = started();
    clock.advance(2_000);
    for (let busy = 0; busy < 2; busy++) {
      for (let look = 0; look < 5; look++) {
        seen.work += 21;
        clock.advance(2_000);
      }
      expect(seen.released).toBe(busy + 1);
      clock.advance(10_000);
      expect(seen.released).toBe(busy + 2);
    }
  });

  test("not any more once it is disposed", () => {
    const { clock, seen, memory } = started();
    memory[Symbol.dispose]();
    clock.advance(10_000);
    expect(seen.released).toBe(0);
  });
});

import { expect, test } from "bun:test";

const PROGRAM = `
  import { readFileSync } from "node:fs";
  const { releaseStartMemory } = await import(${JSON.stringify(`${import.meta.dir}/footprint.ts`)});
  await import(${JSON.stringify(`${import.meta.dir}/index.ts`)});
  const ofFiles = () => Number(/RssFile:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  const before = ofFiles();
  releaseStartMemory();
  const after = ofFiles();
  console.log(JSON.stringify({ before, after, sum: [1, 2, 3].map((n) => n ** 2).reduce((a, b) => a + b) }));
`;

test("what only the start needed is no longer resident, and the program goes on", () => {
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, "-e", PROGRAM]);
  expect(exitCode).toBe(0);
  const { before, after, sum } = JSON.parse(stdout.toString()) as { before: number; after: number; sum: number };
  expect(sum).toBe(14);
  // KiB; at least the half of it.
  expect(after).toBeLessThan(before / 2);
});

/** The demo as a stranger runs it: every step holds, twice in a row, within a minute, and nothing of it stays. */
import { afterAll, afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { machine, processes, ROOT, sh, TULLE } from "../support/machine.ts";
import { OwnFolder } from "../support/own-folder.ts";

/** Not the default one: a play of somebody else may have that. */
const folder = new OwnFolder("tulle-play-demo-");
const state = join(folder.path, "tulle", "play");
const env = { ...process.env, TULLE_STATE_DIR: state } as Record<string, string>;
let before = "";
beforeEach(() => {
  before = machine();
});
afterEach(() => {
  expect(machine()).toBe(before);
  expect(processes(state)).toEqual([]);
  expect(existsSync(join(state, ".."))).toBe(false);
});

afterAll(() => folder[Symbol.dispose]());

test.each(["first", "second"])("every step of `make demo` holds, the %s time", () => {
  const began = Date.now();
  const ran = sh(["make", "-s", "-C", ROOT, "demo"], { env });
  expect([ran.code, ran.stderr]).toEqual([0, ""]);
  expect(ran.stdout).toContain("Every step held");
  expect(ran.stdout.match(/^ *\d+ {2}.* yes {3}/gm)).toHaveLength(9);
  expect(ran.stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);
  expect(Date.now() - began).toBeLessThan(60_000);
});

test("interrupted, it takes everything away", async () => {
  const demo = Bun.spawn([TULLE, "demo"], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const reader = demo.stdout.getReader();
  for (let text = ""; !text.includes("1/9"); ) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`it ended early: ${text}`);
    text += new TextDecoder().decode(value);
  }
  demo.kill("SIGINT");
  while (!(await reader.read()).done);
  expect(await demo.exited).toBe(1);
});

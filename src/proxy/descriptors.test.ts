import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DESCRIPTORS_KEPT, descriptorsAreGone, descriptorsAreShort, isLastDescriptor } from "./descriptors.ts";

test("the last descriptors below the limit are known by their number", () => {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]);
  expect(isLastDescriptor(limit - DESCRIPTORS_KEPT - 1)).toBe(false);
  expect(isLastDescriptor(limit - DESCRIPTORS_KEPT)).toBe(true);
  expect(descriptorsAreShort()).toBe(false);
  expect(descriptorsAreGone()).toBe(false);
});

test("a process that opens all that it may is told in time, and told that some are free again", async () => {
  const script = `
    import { closeSync, openSync } from "node:fs";
    import { descriptorsAreGone, descriptorsAreShort } from ${JSON.stringify(join(import.meta.dir, "descriptors.ts"))};
    const held = [];
    const said = [];
    const say = (word) => said.push(word + " " + held.length);
    const short = () => { for (let i = 0; i < 32; i++) if (descriptorsAreShort()) return true; return false; };
    const open = () => { try { return held.push(openSync("/dev/null", "r")); } catch { return 0; } };
    while (!short()) open();
    say("short");
    while (!descriptorsAreGone()) open();
    say("gone");
    while (open() > 0);
    say("none");
    for (const fd of held.splice(0)) closeSync(fd);
    say(short() || descriptorsAreGone() ? "still" : "free");
    console.log(said.join("\\n"));
  `;
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 100; exec "$0" -e "$1"', process.execPath, script], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const [short, gone, none, free] = (await child.stdout.text()).trim().split("\n");
  const at = (line: string | undefined) => Number(line?.split(" ")[1]);
  expect([short, gone, none, free].map((line) => line?.split(" ")[0])).toEqual(["short", "gone", "none", "free"]);
  // A quarter of so small a limit is kept, and a quarter of that is left when they count as gone.
  expect(at(none) - at(short)).toBe(25);
  expect(at(none) - at(gone)).toBe(6);
});

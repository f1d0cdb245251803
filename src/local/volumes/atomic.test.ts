import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeAtomically } from "./atomic.ts";

test("a volume that cannot be written keeps its files, leaves nothing behind and can be written again", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tulle-volume-"));
  try {
    const file = (path: string, content: string) => ({ path, content, mode: 0o644 });
    await writeAtomically(directory, [file("a", "one")]);
    const before = readdirSync(directory).sort();
    // A file cannot be a directory as well.
    await expect(writeAtomically(directory, [file("a", "two"), file("a/b", "two")])).rejects.toThrow();
    expect(readdirSync(directory).sort()).toEqual(before);
    expect(readFileSync(join(directory, "a"), "utf8")).toBe("one");
    await writeAtomically(directory, [file("a", "three")]);
    expect(readFileSync(join(directory, "a"), "utf8")).toBe("three");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

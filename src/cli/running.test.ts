import { expect, test } from "bun:test";
import { resolve } from "node:path";

test("delete does not pass over a namespace that the manifests would not follow", async () => {
  const child = Bun.spawn([process.execPath, "src/main.ts", "delete", "-f", "examples/app.yaml", "-n", "other"], {
    cwd: resolve(import.meta.dir, "../.."),
    env: { ...process.env, TULLE_STATE_DIR: "/nowhere/tulle" },
    stderr: "pipe",
  });
  const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
  expect(code).toBe(2);
  expect(stderr).toContain("-n is for one object");
}, 60_000);

/** `tulle status` as it is typed, against the fake API server: whom it asks, what it prints, and how it ends. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { StatusReport } from "../status/index.ts";
import { FakeApiServer } from "../testkit/fake-api-server.ts";

/** Each call starts the program from source. */
const PATIENCE = 60_000;
let api: FakeApiServer;
let folder: string;
let kubeconfig: string;

beforeAll(async () => {
  api = await FakeApiServer.start();
  folder = mkdtempSync(join(tmpdir(), "tulle-status-"));
  kubeconfig = join(folder, "config");
  const named = (key: string, value: object) => [{ name: "fake", [key]: value }];
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "fake",
      clusters: named("cluster", { server: api.url }),
      users: named("user", { token: "token-1" }),
      contexts: named("context", { cluster: "fake", user: "fake" }),
    }),
  );
  const labels = { "tulle.dev/inject": "enabled" };
  api.storage.create("/api/v1/namespaces", undefined, { metadata: { name: "shop", labels } } as never);
  const spec = { containers: [{ name: "app", image: "x" }] };
  api.storage.create("/api/v1/pods", "shop", { metadata: { name: "alone" }, spec } as never);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await api[Symbol.asyncDispose]();
});

async function status(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([process.execPath, "src/main.ts", "status", ...args], {
    cwd: resolve(import.meta.dir, "../.."),
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, TULLE_STATE_DIR: join(folder, "state"), ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, code };
}

test(
  "a cluster with a problem ends with 1, in words and as JSON",
  async () => {
    const [words, json] = await Promise.all([
      status(["--kubeconfig", kubeconfig]),
      status(["-n", "shop", "-o", "json"], { KUBECONFIG: kubeconfig }),
    ]);
    expect([words.code, words.stderr]).toEqual([1, ""]);
    expect(words.stdout).toStartWith(
      `cluster ${api.url}, operator in namespace tulle-system\ncontrol plane: not ready\n`,
    );
    expect(words.stdout).toContain("! shop, bare: alone\n");
    expect([json.code, json.stderr]).toEqual([1, ""]);
    const report = JSON.parse(json.stdout) as StatusReport;
    expect(report.target).toEqual({ kind: "cluster", server: api.url });
    expect(report.pods).toMatchObject([{ namespace: "shop", name: "alone", state: "unmeshed" }]);
  },
  PATIENCE,
);

test(
  "wrong use ends with 2, and nobody to ask with 1",
  async () => {
    const [option, form, namespace, nobody] = await Promise.all([
      status(["--everything"]),
      status(["-o", "yaml"]),
      status(["-n", "shpo", "--kubeconfig", kubeconfig]),
      status([]),
    ]);
    expect([option.code, form.code, namespace.code, nobody.code]).toEqual([2, 2, 2, 1]);
    expect(namespace.stderr).toContain("there is no namespace shpo");
    expect(nobody.stderr).toContain("no play runs here, and no cluster is configured");
  },
  PATIENCE,
);

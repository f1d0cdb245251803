/** What a container cannot do to the machine, nor to its own sidecar. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../support/machine.ts";
import { eachInFolder, type PlayFolder, simplePod } from "../support/play-folder.ts";

let play: PlayFolder;
eachInFolder((folder) => {
  play = folder;
});

const running = () => until("the pod", () => play.tulle("get", "pods").stdout.includes("Running"));

test("a container of root makes no device", async () => {
  play.start("--no-inject", play.manifest(simplePod("app", ["sleep", "600"])));
  await running();
  expect(play.tulle("exec", "app", "--", "mknod", "/tmp/disk", "b", "7", "0").stderr).toContain("not permitted");
});

test("what joins a container has its user and no privileges that it has not", async () => {
  const securityContext = { runAsUser: 1000, runAsGroup: 1000, allowPrivilegeEscalation: false };
  const told = "id -u >/shared/who; grep -E 'NoNewPrivs|CapEff' /proc/self/status >>/shared/who";
  const app = {
    ...(simplePod("app", ["sleep", "600"]) as { spec: { containers: object[] } }),
    spec: {
      terminationGracePeriodSeconds: 1,
      volumes: [{ name: "shared", emptyDir: {} }],
      containers: [
        {
          name: "app",
          image: "x",
          command: ["sleep", "600"],
          securityContext,
          volumeMounts: [{ name: "shared", mountPath: "/shared" }],
          readinessProbe: { exec: { command: ["sh", "-c", told] }, periodSeconds: 1 },
        },
      ],
    },
  };
  play.start("--no-inject", play.manifest(app));
  const said = await until("the probe's word", () => {
    const read = play.tulle("exec", "app", "--", "cat", "/shared/who").stdout;
    return read.includes("NoNewPrivs") && read;
  });
  expect(said.split("\n")[0]).toBe("1000");
  expect(said).toMatch(/CapEff:\s+0{16}/);
  expect(said).toMatch(/NoNewPrivs:\s+1/);
  expect(play.tulle("exec", "app", "--", "id", "-u").stdout.trim()).toBe("1000");
});

test("a state directory behind a link loses nothing, and one that is in use is not taken", async () => {
  const real = join(play.path, "real");
  mkdirSync(join(real, "precious"), { recursive: true });
  writeFileSync(join(real, "precious", "file"), "kept");
  symlinkSync(real, join(play.path, "link"));
  play.env["TULLE_STATE_DIR"] = join(play.path, "link", "state");
  const started = play.start("--no-inject", play.manifest(simplePod("app", ["sleep", "600"])));
  await running();
  expect(readFileSync(join(real, "precious", "file"), "utf8")).toBe("kept");
  expect(play.tulle("exec", "app", "--", "ls", "-A", join(real, "state")).stdout).toBe("");
  started.kill("SIGINT");
  expect(await started.exited).toBe(0);
  expect(existsSync(join(real, "state"))).toBe(false);

  play.env["TULLE_STATE_DIR"] = join(real, "precious");
  const refused = play.tulle(
    "play",
    "--no-inject",
    "--egress",
    "none",
    play.manifest(simplePod("app", ["sleep", "600"])),
  );
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("holds file, which is not Tulle's")]);
  expect(statSync(join(real, "precious")).mode & 0o777).toBe(0o755);
});

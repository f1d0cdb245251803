/** What is wrong in the input (exit code 2) or in the machine (exit code 1): one clear message, and nothing half-made. */
import { describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sh, TULLE, until } from "../support/machine.ts";
import { eachInFolder, type PlayFolder, simplePod } from "../support/play-folder.ts";

let play: PlayFolder;
eachInFolder((folder) => {
  play = folder;
});

const sleeping = simplePod("a", ["sleep", "600"]);
const service = (spec: object) => ({ apiVersion: "v1", kind: "Service", metadata: { name: "s" }, spec });

describe("wrong input ends with exit code 2", () => {
  const cases: [what: string, documents: (object | string)[], message: RegExp][] = [
    ["malformed YAML", ["kind: [Pod,\nname: {"], /manifest-0\.yaml:2:\d+: malformed YAML/],
    ["nothing at all", [""], /there is no object in/],
    [
      "an unknown kind",
      [{ apiVersion: "v1", kind: "Gadget", metadata: { name: "a" } }],
      /kind Gadget is not supported/,
    ],
    ["a missing name", [{ ...sleeping, metadata: {} }], /metadata\.name is missing/],
    ["the same name twice", [sleeping, sleeping], /:3:1: Pod\/a: is there twice; the first is at/],
    [
      "port 70000",
      [simplePod("a", ["sleep", "1"], { ports: [{ containerPort: 70000 }] })],
      /containerPort is 70000; it must be 1 to 65535/,
    ],
    ["a Service that selects nothing", [service({ selector: { app: "x" }, ports: [{ port: 80 }] })], /selects nothing/],
    [
      "an unknown named port",
      [sleeping, service({ selector: { app: "a" }, ports: [{ port: 80, targetPort: "http" }] })],
      /targetPort "http" is no port name/,
    ],
    [
      "a field that changes behaviour and is not supported",
      [{ ...sleeping, spec: { hostNetwork: true, containers: [{ name: "app", image: "x", command: ["sleep"] }] } }],
      /spec\.hostNetwork is not supported/,
    ],
    [
      "a port of the mesh's own",
      [simplePod("a", ["sleep", "1"], { ports: [{ containerPort: 15006 }] })],
      /Pod\/a cannot be meshed: container app uses containerPort 15006/,
    ],
    [
      "the proxy's user",
      [simplePod("a", ["sleep", "1"], { securityContext: { runAsUser: 1337 } })],
      /Pod\/a cannot be meshed: container app runs as user 1337/,
    ],
    [
      "a capability that reaches the machine",
      [simplePod("a", ["sleep", "1"], { securityContext: { capabilities: { add: ["SYS_ADMIN"] } } })],
      /capabilities\.add\[0\].*stay within the pod/,
    ],
    [
      "a wrong annotation",
      [{ ...sleeping, metadata: { name: "a", annotations: { "tulle.dev/skip-outbound-ports": "70000" } } }],
      /Pod\/a cannot be meshed: .*70000/,
    ],
  ];
  test.each(cases)("%s", (_what, documents, message) => {
    const refused = play.tulle("play", "--egress", "none", play.manifest(...documents));
    expect(refused.stderr).toMatch(message);
    expect(refused.code).toBe(2);
  });

  test("a manifest of 10,000 documents is judged in one go", () => {
    const pods = Array.from({ length: 10_000 }, (_, index) => simplePod(`pod-${index}`, ["sleep", "600"]));
    const refused = play.tulle("play", "--egress", "none", play.manifest(...pods));
    expect(refused.stderr).toMatch(/10000 pods are more than this node holds: 200/);
    expect(refused.code).toBe(2);
  });

  test("a file that is not there", () => {
    const refused = play.tulle("play", join(play.path, "none.yaml"));
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining("there is no such file")]);
  });

  test("a range that overlaps a route of the machine", () => {
    const script = `ip link set lo up && ip route add 10.77.0.0/16 dev lo && exec ${TULLE} play --egress none --pod-cidr 10.77.1.0/24 ${play.manifest(sleeping)}`;
    const refused = sh(["unshare", "--net", "sh", "-c", script], { env: play.env });
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining("overlaps the machine's route 10.77.0.0/16"),
    ]);
  });
});

describe("what the machine lacks ends with exit code 1", () => {
  /** Plays in a mount namespace of its own, after `script` has bent the machine there. */
  const bent = (script: string) =>
    sh(["unshare", "--mount", "sh", "-ec", `${script}\nexec ${TULLE} play --egress none ${play.manifest(sleeping)}`], {
      env: play.env,
    });

  test("not root", () => {
    const refused = sh(["setpriv", "--reuid", "65534", "--clear-groups", TULLE, "play", play.manifest(sleeping)]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("needs root")]);
    expect(refused.stderr).toContain("sudo tulle play");
  });

  test("root without the right to make namespaces", () => {
    const refused = sh(
      ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", TULLE, "play", play.manifest(sleeping)],
      { env: play.env },
    );
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/does not let root make namespaces/)]);
    expect(refused.stderr).toContain("--privileged");
  });

  test.each([
    ["REDIRECT or the owner match", "iptables", /no REDIRECT target or owner match.*\n.*modprobe/],
    ["the same for IPv6", "ip6tables", /ip6tables has no REDIRECT target or owner match.*\n.*modprobe/],
  ])("a kernel without %s", (_what, tool, message) => {
    const fake = join(play.path, "fake");
    writeFileSync(fake, '#!/bin/sh\necho "No chain/target/match by that name." >&2\nexit 1\n');
    chmodSync(fake, 0o755);
    const real = Bun.which(tool) ?? "";
    const refused = bent(`mount --bind ${fake} ${real}`);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(message)]);
  });

  test("a program is missing: it is named with its package", () => {
    const empty = join(play.path, "empty");
    writeFileSync(empty, "");
    const refused = bent(`mount --bind ${empty} ${Bun.which("crun")}`);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/lacks crun\n.*apt-get install crun/)]);
  });

  test("a full disk", () => {
    const disk = join(play.path, "disk");
    mkdirSync(disk);
    play.env["TULLE_STATE_DIR"] = join(disk, "state");
    const fill = `mount -t tmpfs -o size=8k,nr_inodes=4 tmpfs ${disk}\ndd if=/dev/zero of=${disk}/full bs=4k 2>/dev/null || :`;
    const refused = bent(fill);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("the disk is full")]);
    expect(refused.stderr).toContain("TULLE_STATE_DIR");
    expect(readdirSync(disk)).toEqual([]);
  });

  test("a play of another version is running, or was killed", async () => {
    const state = String(play.env["TULLE_STATE_DIR"]);
    mkdirSync(state, { recursive: true });
    const record = (pid: number, startTime: string) =>
      writeFileSync(
        join(state, "runner.json"),
        JSON.stringify({ format: 99, version: "9.9.9", pid, startTime, nodePid: 0, more: ["unknown"] }),
      );
    const own = Bun.file(`/proc/${process.pid}/stat`);
    record(process.pid, (await own.text()).split(") ").at(-1)?.split(" ")[19] ?? "");
    const file = play.manifest(sleeping);
    const refused = play.tulle("play", "--egress", "none", file);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("of version 9.9.9")]);
    record(4_000_000, "1");
    const started = play.start("--no-inject", file);
    await until("the pod", () => play.tulle("get", "pods").stdout.includes("Running"));
    started.kill("SIGINT");
    expect(await started.exited).toBe(0);
    expect(await new Response(started.stdout).text()).toContain("cleaned up what a play of version 9.9.9 left");
    expect(existsSync(join(state, "runner.json"))).toBe(false);
    expect(play.processes()).toEqual([]);
  });
});

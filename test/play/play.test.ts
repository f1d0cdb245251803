/** `tulle play` in real namespaces: the example of the notes, its commands, and that nothing is left however it ends. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const TULLE = join(ROOT, "dist/tulle");
const APP = join(ROOT, "examples/app.yaml");

let folder = "";
let env: Record<string, string> = {};
let before = "";
let running: Bun.Subprocess[] = [];

function sh(argv: readonly string[], stdin = ""): { code: number; stdout: string; stderr: string } {
  const ran = Bun.spawnSync([...argv], { stdin: Buffer.from(stdin), env });
  return { code: ran.exitCode, stdout: ran.stdout.toString(), stderr: ran.stderr.toString() };
}
const tulle = (...args: string[]) => sh([TULLE, ...args]);

/** Namespaces, links, rules, mounts and processes of ours on the machine. */
function machine(): string {
  const commands = [
    ["ip", "netns"],
    ["ip", "-o", "link"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["cut", "-d ", "-f5-", "/proc/self/mountinfo"],
  ];
  const text = commands.map((command) => sh(command).stdout).join("\n--\n");
  return text.replaceAll(/^#.*$/gm, "").replaceAll(/\[\d+:\d+\]/g, "[]");
}

/** Processes that have this test's state directory in their environment or arguments, or run a container of it. */
function processes(): string[] {
  return sh(["ps", "-eo", "pid,args"])
    .stdout.split("\n")
    .filter((line) => line.includes("dist/tulle inner") || line.includes("crun "));
}

async function until<T>(what: string, ask: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50)) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
  }
  throw new Error(`waited 30 s in vain for ${what}`);
}

function start(...args: string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const child = Bun.spawn([TULLE, "play", "--egress", "none", ...args], {
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  running.push(child);
  return child;
}

function manifest(...objects: object[]): string {
  const file = join(folder, `manifest-${readdirSync(folder).length}.yaml`);
  writeFileSync(file, objects.map((object) => JSON.stringify(object)).join("\n---\n"));
  return file;
}
const pod = (name: string, command: string[], more: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: name } },
  spec: { containers: [{ name: "app", image: "debian", command, ...more }] },
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tulle-play-"));
  env = { ...process.env, TULLE_STATE_DIR: join(folder, "state") } as Record<string, string>;
  before = machine();
});
afterEach(async () => {
  for (const child of running) {
    child.kill("SIGKILL");
    await child.exited;
  }
  running = [];
  await until("every process to be gone", () => processes().length === 0);
  rmSync(folder, { recursive: true, force: true });
  expect(machine()).toBe(before);
});

describe("the example that the project grew from", () => {
  test("lists three empty chains in the container with NET_ADMIN, and none in the other", async () => {
    const play = start("--no-inject", APP);
    const log = await until("the chains", () => {
      const said = tulle("logs", "app", "-c", "proxy").stdout;
      return said.includes("Chain OUTPUT") && said;
    });
    for (const chain of ["INPUT", "FORWARD", "OUTPUT"]) expect(log).toContain(`Chain ${chain} (policy ACCEPT)`);
    expect(log).not.toContain("15001");
    expect(tulle("stop").stdout).toContain("nothing is left");
    expect(await play.exited).toBe(0);
  });
});

test("a container without NET_ADMIN cannot list the chains of its own pod", async () => {
  start("--no-inject", manifest(pod("app", ["sleep", "600"])));
  await until("the pod", () => tulle("get", "pods").stdout.includes("Running"));
  const denied = tulle("exec", "app", "--", "iptables", "-L");
  expect(denied.code).not.toBe(0);
  expect(denied.stderr).toContain("ermission denied");
});

test("the same application left to Tulle: its init container shows the chains that do the routing", async () => {
  start(join(ROOT, "examples/app-meshed.yaml"));
  const log = await until("the chains", () => {
    const said = tulle("logs", "app", "-c", "tulle-init").stdout;
    return said.includes("15006") && said.includes("15001") && said;
  });
  expect(log).toMatch(/REDIRECT .*15001/);
  await until("the sidecar", () => tulle("logs", "app", "-c", "tulle-proxy").stdout.includes('"message":"ready"'));
});

describe("a running play", () => {
  test("shows pods, runs commands, passes exit codes on, applies and deletes", async () => {
    start("--no-inject", manifest(pod("one", ["sleep", "600"])));
    await until("pod one", () => tulle("get", "pods").stdout.includes("Running"));
    expect(tulle("exec", "one", "--", "sh", "-c", "exit 7").code).toBe(7);
    expect(tulle("exec", "one", "--", "sh", "-c", "touch /tulle-was-here && ls /tulle-was-here").stdout).toContain(
      "/tulle-was-here",
    );
    expect(sh(["ls", "/tulle-was-here"]).code).not.toBe(0);
    const second = manifest(pod("two", ["sh", "-c", "echo from-two; sleep 600"]));
    expect(tulle("apply", "-f", second).stdout).toContain("pod/two created");
    await until("pod two", () => tulle("logs", "two").stdout.includes("from-two"));
    const [ip] = (JSON.parse(tulle("get", "pods", "two", "-o", "json").stdout) as { ips: string[] }[])[0]?.ips ?? [];
    expect(tulle("exec", "one", "--", "ping", "-c1", "-W2", String(ip)).stdout).toContain("1 received");
    expect(tulle("delete", "pod", "two", "--grace-period", "0").stdout).toContain("pod/two deleted");
    await until("pod two to go", () => !tulle("get", "pods").stdout.includes("two"));
    expect(tulle("get", "pods", "two").code).toBe(1);
  });

  test("says why a command that is not there does not start (get pods, back-off)", async () => {
    start("--no-inject", manifest(pod("lost", ["no-such-command"])));
    const shown = await until("the reason", () => {
      const [one] = JSON.parse(tulle("get", "pods", "-o", "json").stdout || "[]") as { status: string }[];
      return one !== undefined && /CrashLoopBackOff|RunContainerError|StartError/.test(one.status) && one;
    });
    expect(JSON.stringify(shown)).toContain("no-such-command");
  });

  test("keeps a second play beside it from starting (exit code 1)", async () => {
    start("--no-inject", manifest(pod("one", ["sleep", "600"])));
    await until("pod one", () => tulle("get", "pods").stdout.includes("Running"));
    const second = tulle("play", "--no-inject", "--egress", "none", manifest(pod("two", ["sleep", "600"])));
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("stop");
  });

  test("leaves nothing after kill -9, and the next play starts", async () => {
    const file = manifest(pod("one", ["sleep", "600"]));
    const first = start("--no-inject", file);
    await until("pod one", () => tulle("get", "pods").stdout.includes("Running"));
    first.kill("SIGKILL");
    await first.exited;
    await until("its processes to be gone", () => processes().length === 0);
    expect(machine()).toBe(before);
    start("--no-inject", file);
    await until("pod one again", () => tulle("get", "pods").stdout.includes("Running"));
    expect(tulle("stop").code).toBe(0);
  });

  test("ends orderly on Ctrl-C", async () => {
    const play = start("--no-inject", manifest(pod("one", ["sleep", "600"])));
    await until("pod one", () => tulle("get", "pods").stdout.includes("Running"));
    play.kill("SIGINT");
    expect(await play.exited).toBe(0);
    expect(tulle("get", "pods").code).toBe(1);
  });
});

describe("wrong input", () => {
  const cases: [string, string, RegExp][] = [
    ["malformed YAML (line and column)", "a: [1,\nb: {", /:\d+:\d+/],
    ["an unknown kind", JSON.stringify({ apiVersion: "v1", kind: "Gadget", metadata: { name: "a" } }), /Gadget/],
    [
      "a missing name",
      JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: {}, spec: { containers: [] } }),
      /name/,
    ],
  ];
  test.each(cases)("%s: exit code 2, one message, nothing made", (_name, text, message) => {
    const file = join(folder, "bad.yaml");
    writeFileSync(file, text);
    const refused = tulle("play", "--no-inject", file);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(message);
  });

  test("a file that is not there: exit code 2", () => {
    expect(tulle("play", "--no-inject", join(folder, "none.yaml")).code).toBe(2);
  });

  test("not root: one message that says what to do, exit code 1", () => {
    const refused = sh(["setpriv", "--reuid", "65534", "--clear-groups", TULLE, "play", "--no-inject", APP]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("root");
  });
});

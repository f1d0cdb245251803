/**
 * How the cluster comes and goes, tried on a second one beside that of the other tests: it is ended here in every way, and
 * nothing of it may stay on the machine.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { command, eventually, LocalCluster, run } from "../../support/cluster.ts";

const SCRIPTS = join(import.meta.dir, "..");
const HOME = join(SCRIPTS, "../../.cache/cluster/lifecycle");
await LocalCluster.find();

function script(name: string, ...args: readonly string[]): string[] {
  return ["env", "-u", "KUBECONFIG", "TULLE_CLUSTER=lifecycle", join(SCRIPTS, `${name}.sh`), ...args];
}

/** What clusters have on the machine: devices, addresses, routes, rules, mounts, cgroups; others may work here as well. */
async function traces(): Promise<string> {
  const commands = [
    ["ip", "-o", "addr"],
    ["ip", "-4", "route", "show", "table", "all"],
    ["ip", "-6", "route", "show", "table", "all"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["nft", "list", "ruleset"],
    ["cat", "/proc/self/mountinfo"],
    ["find", "/sys/fs/cgroup", "-maxdepth", "2", "-type", "d"],
    ["find", "/run", "/var/lib", "/var/log", "-maxdepth", "2"],
  ];
  const outputs = await Promise.all(commands.map(async (argv) => (await command(argv)).stdout));
  const ours = /tulle-?c|172\.30\.|10\.23[01]\.|fd74:756c|kube|containerd|\/cluster\//;
  const lines = outputs.join("\n").split("\n");
  return lines.filter((line) => ours.test(line)).join("\n");
}

/** The processes of a pid namespace. */
function processesOf(namespace: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
    } catch {
      return false;
    }
  });
}

async function pidNamespace(): Promise<string> {
  return (await run(script("enter", "readlink", "/proc/self/ns/pid"))).trim();
}

async function expectNothingLeft(namespace: string): Promise<void> {
  expect(processesOf(namespace)).toEqual([]);
  expect(existsSync(join(HOME, "state"))).toBe(false);
  expect(await traces()).toBe(before);
}

let before = "";
beforeAll(async () => {
  await command(script("down"));
  before = await traces();
});
afterAll(async () => {
  await command(script("down"));
});

describe("a second cluster", () => {
  test("comes up beside the first, says where its kubeconfig is, and stays when it is asked to come again", async () => {
    const kubeconfig = (await run(script("up"))).trim();
    expect(kubeconfig).toBe(join(HOME, "state/kubeconfig"));
    const namespace = await pidNamespace();
    expect((await run(script("up"))).trim()).toBe(kubeconfig);
    expect(await pidNamespace()).toBe(namespace);
    expect((await run(script("kubeconfig"))).trim()).toBe(kubeconfig);

    const other = ["env", "KUBECONFIG=/somewhere/else"];
    for (const name of ["up", "kubeconfig"]) {
      expect((await run([...other, ...script(name).slice(3)])).trim()).toBe("/somewhere/else");
    }
  });

  test.each(["etcd", "kube-apiserver", "containerd", "kubelet", "kube-proxy"])(
    "goes after %s was killed",
    async (component) => {
      await run(script("up"));
      const namespace = await pidNamespace();
      await run(script("enter", "sh", "-c", `kill -KILL "$(cat /run/cluster/state/run/${component}.pid)"`));
      await run(script("down"));
      await expectNothingLeft(namespace);
    },
  );

  test("goes after its first process was killed, and does not mind to be asked again", async () => {
    await run(script("up"));
    const namespace = await pidNamespace();
    const pid = Number((await Bun.file(join(HOME, "state/node.pid")).text()).split(" ")[0]);
    process.kill(pid, "SIGKILL");
    await run(script("down"));
    await expectNothingLeft(namespace);
    await run(script("down"));
  });

  test("shows the log of what ended during the start, and leaves nothing", async () => {
    const starting = Bun.spawn(script("up"), { stdout: "pipe", stderr: "pipe" });
    const inside = 'kill -KILL "$(cat /run/cluster/state/run/kube-apiserver.pid)"';
    await eventually(() => run(script("enter", "sh", "-c", inside)), 20_000);
    expect(await starting.exited).not.toBe(0);
    const errors = await starting.stderr.text();
    expect(errors).toContain("lifecycle/logs/kube-apiserver.log");
    expect(errors).toContain("did not start: kube-apiserver ended with 137");
    expect(existsSync(join(HOME, "state"))).toBe(false);
    expect(await traces()).toBe(before);
  });

  test("leaves nothing when its start is interrupted", async () => {
    const starting = Bun.spawn(script("up"), { stdout: "pipe", stderr: "pipe" });
    await eventually(async () => (existsSync(join(HOME, "state/node.pid")) ? true : undefined), 20_000);
    starting.kill("SIGINT");
    expect(await starting.exited).not.toBe(0);
    expect(existsSync(join(HOME, "state"))).toBe(false);
    expect(await traces()).toBe(before);
  });
});

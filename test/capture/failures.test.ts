/** What `tulle init` says and leaves when something is missing or in the way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  createPod,
  dump,
  init,
  initialise,
  iptablesPrograms,
  NOWHERE_V4,
  POD_V6,
  type Pod,
  ProgramFolder,
} from "../support/pod.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");

describe("28: a pod with an IPv6 address and no usable ip6tables", () => {
  test("is refused before an IPv4 rule is written when ip6tables is not installed", async () => {
    using programs = new ProgramFolder(iptablesPrograms("nft", ["ipv4"]));
    using pod = createPod();
    const result = await init(pod.inside, [], programs);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`the pod has the IPv6 address ${POD_V6}, whose traffic would leave in plaintext`);
    expect(result.stderr).toContain("Install the package iptables");
    expect(await dump(pod.inside)).toBe("");
  });

  test("is refused when the kernel does not take the rules, and told which part is missing", async () => {
    using programs = new ProgramFolder([...iptablesPrograms("nft", ["ipv4", "ipv6"])].slice(0, 5));
    // Stands for a kernel without xt_owner: what iptables says then, for every transaction that holds the match.
    const fake = join(programs.path, "ip6tables-nft-restore");
    const real = Bun.which("ip6tables-nft-restore");
    writeFileSync(
      fake,
      `#!/bin/sh\ntext=$(/bin/cat)\ncase "$text" in *"-m owner"*) echo "ip6tables-nft-restore v1.8.9 (nf_tables): RULE_APPEND failed (No such file or directory): rule in chain TULLE_PROBE" >&2; exit 4;; esac\nprintf '%s\\n' "$text" | ${real} "$@"\n`,
    );
    chmodSync(fake, 0o755);
    using pod = createPod();
    const result = await init(pod.inside, [], programs);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(POD_V6);
    expect(result.stderr).toContain("the kernel does not offer the owner match to ip6tables-nft");
    expect(result.stderr).toContain("modprobe xt_owner");
    expect(await dump(pod.inside)).toBe("");
  });

  test("is no case for a pod without such an address: init goes on, captures IPv4 and says so", async () => {
    using programs = new ProgramFolder(iptablesPrograms("nft", ["ipv4"]));
    using pod = createPod(["ipv4"]);
    const result = await init(pod.inside, [], programs);
    expect(result.status).toBe(0);
    expect(result.stdout).toContain("IPv4: rules written; a test connection");
    expect(result.stderr).toContain("IPv6 is not captured; the pod has no address of it");
  });
});

test("27: a kernel without IPv6 is fine, without a word", async () => {
  using programs = new ProgramFolder(iptablesPrograms("nft", ["ipv4"]));
  using pod = createPod(["ipv4"]);
  // The network part of /proc without if_inet6, as on a kernel started with ipv6.disable=1.
  const script = `mount -t tmpfs none /proc/$$/net && export PATH=${programs.path} && exec "$0" "$@"`;
  const result = await pod.inside.exec([
    ...["unshare", "--mount", "sh", "-c", script],
    ...[process.execPath, MAIN, "init"],
  ]);
  expect(result.stderr).toBe("");
  expect(result.status).toBe(0);
  expect(result.stdout).toContain("IPv4: rules written; a test connection");
  expect(result.stdout).not.toContain("IPv6");
});

test("27: IPv6 switched off in the pod's namespace is fine: its rules are there for the case that it comes back", async () => {
  using pod = createPod(["ipv4"]);
  await pod.inside.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"]);
  const result = await init(pod.inside);
  expect(result).toMatchObject({ status: 0, stderr: "" });
  expect(result.stdout).toContain("IPv4: rules written; a test connection");
  expect(result.stdout).toContain("IPv6: rules written; not tested, the pod has no address yet");
});

describe("the xtables lock", () => {
  test("20: held by another program for 5 s only delays init", async () => {
    using programs = new ProgramFolder(iptablesPrograms("legacy", ["ipv4", "ipv6"]));
    using pod = createPod();
    // On a /run of its own, so that nobody else on this machine waits for the lock.
    const script = `mount -t tmpfs none /run
flock /run/xtables.lock sh -c "touch /run/held; sleep 5; echo released" &
until [ -e /run/held ]; do sleep 0.05; done
PATH=${programs.path} "$0" "$@"`;
    const output = await pod.inside.run([
      ...["unshare", "--mount", "sh", "-c", script],
      ...[process.execPath, MAIN, "init"],
    ]);
    expect(output).toStartWith("released\nIPv4: rules written; a test connection");
    expect(output).toContain("\nIPv4 (iptables-legacy ");
  });

  test("on a read-only root file system is replaced by one on the namespace", async () => {
    using programs = new ProgramFolder(iptablesPrograms("legacy", ["ipv4", "ipv6"]));
    using pod = createPod();
    const script = `mount -t tmpfs -o ro none /run && export PATH=${programs.path} && exec "$0" "$@"`;
    const output = await pod.inside.run([
      ...["unshare", "--mount", "sh", "-c", script],
      ...[process.execPath, MAIN, "init"],
    ]);
    expect(output).toContain("IPv4 (iptables-legacy ");
  });
});

describe("the self-test fails", () => {
  let pod: Pod;
  beforeAll(() => {
    pod = createPod();
  });
  afterAll(() => pod[Symbol.dispose]());

  const selfTest = (family: string, ip: string) =>
    pod.inside.exec([
      process.execPath,
      "-e",
      `import { selfTest } from "${join(import.meta.dir, "../../src/capture/index.ts")}";
       try {
         await selfTest("${family}", { ip: "${ip}", port: 7 }, "token", AbortSignal.timeout(500));
         console.log("passed");
       } catch (error) { console.log(error.code, error.message); }`,
    ]);

  test("21: when the rules are removed, in both families, and passes when they are back", async () => {
    for (const [family, ip] of [
      ["ipv4", NOWHERE_V4],
      ["ipv6", "2001:db8::1"],
    ] as const) {
      expect((await selfTest(family, ip)).stdout).toStartWith("self-test-failed ");
      await initialise(pod.inside);
      expect((await selfTest(family, ip)).stdout).toBe("passed\n");
      await initialise(pod.inside, ["--cleanup"]);
      expect((await selfTest(family, ip)).stdout).toStartWith("self-test-failed ");
    }
  });

  test("when the packets vanish, after the time given", async () => {
    expect((await selfTest("ipv4", "198.51.100.2")).stdout).toContain("it did not arrive in time");
  });

  test("21: when a rule of someone else takes the packets first: init fails and names what to look for", async () => {
    await pod.inside.run(["ip6tables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "ACCEPT"]);
    const result = await init(pod.inside);
    expect(result.status).toBe(1);
    expect(result.stdout).toContain("IPv4: rules written; a test connection");
    expect(result.stderr).toContain("the IPv6 rules are in place but do not act");
    expect(result.stderr).toContain("a rule ahead of the jump to TULLE_OUTPUT");
    await pod.inside.run(["ip6tables-nft", "-t", "nat", "-D", "OUTPUT", "-p", "tcp", "-j", "ACCEPT"]);
  });

  test("when the outbound port is taken", async () => {
    const holder = pod.inside.spawn([
      process.execPath,
      "-e",
      `Bun.listen({ hostname: "127.0.0.1", port: 15001, socket: { data() {} } }); console.log("ready");`,
    ]);
    await holder.line("ready");
    const result = await init(pod.inside);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("cannot listen on 127.0.0.1 port 15001 (EADDRINUSE)");
    await holder.stop();
  });

  test("when there is no route, and says that the route is what is missing", async () => {
    pod.inside.ip("-6", "route", "del", "default");
    const result = await init(pod.inside);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("the pod has no route to 2001:db8::1 (ENETUNREACH)");
    expect(result.stderr).toContain("Give the pod a default IPv6 route");
  });

  test("when init runs as the proxy's user", async () => {
    const result = await pod.inside.exec([
      ...["setpriv", "--reuid", "1337", "--inh-caps", "+net_admin", "--ambient-caps", "+net_admin"],
      ...[process.execPath, MAIN, "init"],
    ]);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain("user 1337 is the proxy's");
  });
});

describe("missing rights and programs", () => {
  test("without NET_ADMIN init and cleanup say so and name the capability", async () => {
    using pod = createPod();
    for (const flags of [[], ["--cleanup"]]) {
      const result = await pod.inside.exec([
        ...["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
        ...[process.execPath, MAIN, "init", ...flags],
      ]);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain("lacks the capability NET_ADMIN");
      expect(result.stderr).toContain("securityContext.capabilities.add");
    }
    expect(await dump(pod.inside)).toBe("");
  });

  test("NET_ADMIN alone is enough for iptables-nft, and iptables-legacy asks for NET_RAW", async () => {
    using nft = new ProgramFolder(iptablesPrograms("nft", ["ipv4", "ipv6"]));
    using legacy = new ProgramFolder(iptablesPrograms("legacy", ["ipv4", "ipv6"]));
    using pod = createPod();
    const run = (folder: ProgramFolder) =>
      pod.inside.exec(
        [
          ...[Bun.which("setpriv") ?? "setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all"],
          ...[process.execPath, MAIN, "init"],
        ],
        folder,
      );
    expect(await run(nft)).toMatchObject({ status: 0 });
    const refused = await run(legacy);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("iptables-legacy could not");
    expect(refused.stderr).toContain("it needs the capability NET_RAW beside NET_ADMIN");
  });

  test("without an iptables program init and cleanup say which package to install", async () => {
    using nothing = new ProgramFolder([]);
    using pod = createPod();
    for (const flags of [[], ["--cleanup"]]) {
      const result = await init(pod.inside, flags, nothing);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain("in PATH");
      expect(result.stderr).toContain("Install the package iptables");
    }
  });
});

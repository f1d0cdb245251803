import { describe, expect, test } from "bun:test";
import { FakeMachine, type FakeProgram } from "../testkit/programs.ts";
import { applyCapture } from "./apply.ts";
import { cleanupCapture } from "./cleanup.ts";
import { detectIptables } from "./detect.ts";
import { type Family, ipv6Addresses } from "./family.ts";

const FOREIGN = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -p udp -j REDIRECT\nCOMMIT\n";
const OURS = "*nat\n:OUTPUT ACCEPT [0:0]\n:TULLE_OUTPUT - [0:0]\nCOMMIT\n";

interface Fake {
  readonly backend: "nf_tables" | "legacy";
  readonly version?: string;
  readonly saved?: string;
  readonly restore?: FakeProgram;
}

/** The three programs of a name. */
function programs(name: string, fake: Fake): Record<string, FakeProgram> {
  return {
    [name]: () => ({ stdout: `iptables v${fake.version ?? "1.8.9"} (${fake.backend})\n` }),
    [`${name}-save`]: () => ({ stdout: fake.saved ?? "" }),
    [`${name}-restore`]: fake.restore ?? (() => ({})),
  };
}

const fails =
  (stderr: string, when = ""): FakeProgram =>
  (_args, input) =>
    input.includes(when) ? { status: 4, stderr } : {};
const LEGACY_NAT = { "/proc/net/ip_tables_names": "nat\n" };
const detect = (machine: FakeMachine, family: Family = "ipv4") => detectIptables(machine, family);

describe("the variant", () => {
  test("is nft before legacy when neither holds anything", async () => {
    const machine = new FakeMachine({
      ...programs("iptables-legacy", { backend: "legacy" }),
      ...programs("iptables-nft", { backend: "nf_tables" }),
    });
    expect((await detect(machine)).name).toBe("iptables-nft");
    // Reading with a legacy program would make the kernel set its table up.
    expect(machine.calls.filter((call) => call.program.startsWith("iptables-legacy-"))).toEqual([]);
  });

  test("is the one that holds others' nat rules", async () => {
    const machine = new FakeMachine(
      {
        ...programs("iptables-nft", { backend: "nf_tables" }),
        ...programs("iptables-legacy", { backend: "legacy", saved: FOREIGN }),
      },
      LEGACY_NAT,
    );
    expect((await detect(machine)).name).toBe("iptables-legacy");
  });

  test("is the one that holds ours, whatever others hold", async () => {
    const machine = new FakeMachine(
      {
        ...programs("iptables-nft", { backend: "nf_tables", saved: OURS }),
        ...programs("iptables-legacy", { backend: "legacy", saved: FOREIGN }),
      },
      LEGACY_NAT,
    );
    expect((await detect(machine)).name).toBe("iptables-nft");
  });

  test("is what is just called iptables where the others are not installed", async () => {
    const machine = new FakeMachine(programs("ip6tables", { backend: "legacy" }));
    expect((await detect(machine, "ipv6")).name).toBe("ip6tables");
  });

  test("is the second when the kernel does not run the first's rules", async () => {
    const machine = new FakeMachine({
      ...programs("iptables-nft", { backend: "nf_tables", restore: fails("Could not fetch rule set: not supported") }),
      ...programs("iptables-legacy", { backend: "legacy" }),
    });
    expect((await detect(machine)).name).toBe("iptables-legacy");
  });

  test("is tried out in the nat table, in a chain that nothing jumps to and that is gone afterwards", async () => {
    const machine = new FakeMachine(programs("iptables-nft", { backend: "nf_tables" }));
    await detect(machine);
    const texts = machine.calls.filter((call) => call.program.endsWith("-restore")).map((call) => call.input);
    expect(texts).toHaveLength(2);
    expect(texts[0]).toMatch(/^\*nat\n:TULLE_PROBE - \[0:0\]\n(-A TULLE_PROBE .*\n){3}COMMIT\n$/);
    expect(texts[1]).toBe("*nat\n-F TULLE_PROBE\n-X TULLE_PROBE\nCOMMIT\n");
  });

  test.each([
    ["1.8.9", "legacy", ["--noflush", "--wait=30"]],
    ["1.6.2", "legacy", ["--noflush", "--wait=30"]],
    ["1.6.1", "legacy", ["--noflush"]],
    ["1.8.9", "nf_tables", ["--noflush"]],
  ] as const)("waits for the lock where it has one and can (%s %s)", async (version, backend, args) => {
    const machine = new FakeMachine(programs("iptables", { backend, version }));
    await detect(machine);
    expect(machine.calls.find((call) => call.program === "iptables-restore")?.args).toEqual([...args]);
  });
});

describe("what is missing is named", () => {
  const nft = (restore: FakeProgram) => new FakeMachine(programs("iptables-nft", { backend: "nf_tables", restore }));
  const ENOENT = "line 3: RULE_APPEND failed (No such file or directory): rule in chain TULLE_PROBE";

  test.each([
    ["-m owner", "the owner match", "modprobe xt_owner"],
    ["-m multiport", "the multiport match", "modprobe xt_multiport"],
    ["-j REDIRECT", "the REDIRECT target", "modprobe xt_REDIRECT"],
    ["*nat", "the nat table", "modprobe nft_chain_nat"],
  ])("%s", async (part, name, hint) => {
    await expect(detect(nft(fails(ENOENT, part)))).rejects.toMatchObject({
      code: "no-kernel-support",
      exitCode: 1,
      message: expect.stringContaining(`the kernel does not offer ${name} to iptables-nft`),
      hint: expect.stringContaining(hint),
    });
  });

  test("no program at all", async () => {
    await expect(detect(new FakeMachine({}))).rejects.toMatchObject({ code: "no-iptables", exitCode: 1 });
  });

  test("20: a lock that stays held, without falling back to the other variant", async () => {
    const machine = new FakeMachine(
      {
        ...programs("iptables-nft", { backend: "nf_tables" }),
        ...programs("iptables-legacy", {
          backend: "legacy",
          saved: FOREIGN,
          restore: fails("Another app is currently holding the xtables lock. Stopped waiting after 30s."),
        }),
      },
      LEGACY_NAT,
    );
    await expect(detect(machine)).rejects.toMatchObject({
      code: "lock-held",
      hint: expect.stringContaining("/run/xtables.lock"),
    });
  });

  test("the kernel's denial, as in a network namespace of another user namespace", async () => {
    const restore = fails("iptables-nft-restore: Could not fetch rule set generation id: Permission denied");
    await expect(detect(nft(restore))).rejects.toMatchObject({ code: "no-net-admin" });
  });

  test("a table that nft wrote in its own way, which no module would mend", async () => {
    const restore = fails("table `nat' is incompatible, use 'nft' tool.");
    await expect(detect(nft(restore))).rejects.toMatchObject({
      code: "iptables-failed",
      message: expect.stringContaining("is incompatible"),
    });
  });
});

describe("NET_ADMIN", () => {
  test("is asked for before any program runs", async () => {
    const machine = new FakeMachine(programs("iptables-nft", { backend: "nf_tables" }), {
      "/proc/self/status": "CapPrm:\t0000000000000000\nCapEff:\t00000000a80425fb\n",
    });
    const config = {
      proxyUid: 1337,
      skipInboundPorts: [],
      skipOutboundPorts: [],
      skipInboundCidrs: [],
      skipOutboundCidrs: [],
    };
    await expect(applyCapture(machine, config)).rejects.toMatchObject({ code: "no-net-admin" });
    await expect(cleanupCapture(machine)).rejects.toMatchObject({ code: "no-net-admin" });
    expect(machine.calls).toEqual([]);
  });
});

describe("addresses of /proc/net/if_inet6", () => {
  test("count when they are neither loopback nor link-local, also while tentative", () => {
    const table = `00000000000000000000000000000001 01 80 10 80       lo
fe800000000000006c2f01fffe266bb7 02 40 20 80     eth0
fd990000000000000000000000000009 02 40 00 c0     eth0
20010db8000000000000000000000001 03 40 00 80     eth1
`;
    expect(ipv6Addresses(table).map(String)).toEqual(["fd99::9", "2001:db8::1"]);
    expect(ipv6Addresses("")).toEqual([]);
  });
});

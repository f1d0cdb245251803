/** What `tulle init` does to the rules that are there, its own and those of others. */
import { describe, expect, test } from "bun:test";
import { NetworkNamespace } from "../support/netns.ts";
import { createPod, dump, init, initialise, iptablesPrograms, ProgramFolder } from "../support/pod.ts";

/** Rules as another program in the pod would have them: NAT of its own, a chain of its own, a filter. */
const FOREIGN = `*nat
:OTHER - [0:0]
-A PREROUTING -p tcp -m tcp --dport 6000 -j OTHER
-A OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports 1053
-A OTHER -j RETURN
-A POSTROUTING -p tcp -m tcp --dport 6001 -j ACCEPT
COMMIT
*filter
:BLOCK - [0:0]
-A INPUT -p tcp -m tcp --dport 6002 -j BLOCK
-A BLOCK -j DROP
COMMIT
`;

describe.each(["nft", "legacy"] as const)("iptables-%s", (backend) => {
  const families = ["ipv4", "ipv6"] as const;

  async function addForeign(namespace: NetworkNamespace): Promise<void> {
    for (const program of [`iptables-${backend}-restore`, `ip6tables-${backend}-restore`]) {
      await namespace.run([program, "--noflush"], { input: FOREIGN });
    }
  }

  function only(): ProgramFolder {
    return new ProgramFolder(iptablesPrograms(backend, families));
  }

  test("14: init twice gives the same dump as once", async () => {
    using programs = only();
    using pod = createPod();
    const flags = ["--skip-outbound-ports", "3306", "--skip-inbound-cidrs", "10.0.0.0/8,fd00::/8"];
    await initialise(pod.inside, flags, programs);
    const once = await dump(pod.inside);
    expect(once).toContain("TULLE_OUTPUT");
    await initialise(pod.inside, flags, programs);
    expect(await dump(pod.inside)).toBe(once);
  });

  test("15: init mends what a killed one left, and doubled or foreign-looking jumps", async () => {
    using programs = only();
    using pod = createPod();
    await initialise(pod.inside, [], programs);
    const whole = await dump(pod.inside);
    const broken = `*nat
:TULLE_INBOUND - [0:0]
:TULLE_PROBE - [0:0]
-A TULLE_INBOUND -p tcp -m tcp --dport 15008 -j RETURN
-A TULLE_PROBE -j RETURN
-F TULLE_OUTPUT
-D PREROUTING -p tcp -j TULLE_INBOUND
-A OUTPUT -p tcp -j TULLE_OUTPUT
-I OUTPUT -j TULLE_OUTPUT
COMMIT
`;
    for (const program of [`iptables-${backend}-restore`, `ip6tables-${backend}-restore`]) {
      await pod.inside.run([program, "--noflush"], { input: broken });
    }
    expect(await dump(pod.inside)).not.toBe(whole);
    await initialise(pod.inside, [], programs);
    expect(await dump(pod.inside)).toBe(whole);
  });

  test("16: init with other ports leaves no trace of the first ones", async () => {
    using programs = only();
    using pod = createPod();
    await initialise(pod.inside, ["--skip-outbound-ports", "3306", "--proxy-uid", "2000"], programs);
    const first = await dump(pod.inside);
    expect(first).toContain("--dports 3306");
    expect(first).toContain("--uid-owner 2000");
    await initialise(pod.inside, ["--skip-outbound-ports", "5432"], programs);
    const text = await dump(pod.inside);
    expect(text).toContain("--dports 5432");
    expect(text).not.toContain("3306");
    expect(text).not.toContain("2000");
  });

  test("17, 18: cleanup restores the dump from before, with and without rules of others", async () => {
    using programs = only();
    for (const foreign of [false, true]) {
      using pod = createPod();
      if (foreign) await addForeign(pod.inside);
      const before = await dump(pod.inside);
      expect(before === "").toBe(!foreign);
      await initialise(pod.inside, [], programs);
      const during = (await dump(pod.inside)).split("\n");
      expect(during.filter((line) => !line.includes("TULLE_")).join("\n")).toContain(before);
      expect(during.some((line) => line.includes("TULLE_"))).toBe(true);
      const output = await initialise(pod.inside, ["--cleanup"], programs);
      expect(output).toContain(`IPv4: rules taken out (iptables-${backend})`);
      expect(output).toContain(`IPv6: rules taken out (ip6tables-${backend})`);
      expect(await dump(pod.inside)).toBe(before);
      expect(await initialise(pod.inside, ["--cleanup"], programs)).toBe(
        "nothing to take out: no chain of Tulle is here\n",
      );
    }
  });

  test("19: where it holds rules already, it is preferred over the other", async () => {
    using pod = createPod();
    await addForeign(pod.inside);
    const before = await dump(pod.inside);
    const output = await initialise(pod.inside);
    expect(output).toContain(`IPv4 (iptables-${backend} `);
    expect(output).toContain(`IPv6 (ip6tables-${backend} `);
    await initialise(pod.inside, ["--cleanup"]);
    expect(await dump(pod.inside)).toBe(before);
  });

  test("init stays with the variant that holds its chains, and leaves them in no other", async () => {
    const other = backend === "nft" ? "legacy" : "nft";
    using programs = only();
    using otherPrograms = new ProgramFolder(iptablesPrograms(other, families));
    using pod = createPod();
    await initialise(pod.inside, [], programs);
    const alone = await dump(pod.inside);
    for (const program of [`iptables-${other}-restore`, `ip6tables-${other}-restore`]) {
      await pod.inside.run([program, "--noflush"], { input: FOREIGN });
    }
    const withForeign = await dump(pod.inside);
    await initialise(pod.inside);
    expect(await dump(pod.inside)).toBe(withForeign);
    // An init that only had the other variant wrote a second set; one that has both leaves one set.
    await initialise(pod.inside, [], otherPrograms);
    expect((await dump(pod.inside)).match(/-A OUTPUT -p tcp -j TULLE_OUTPUT/g)?.length).toBe(4);
    await initialise(pod.inside);
    const text = await dump(pod.inside);
    expect(text.match(/-A OUTPUT -p tcp -j TULLE_OUTPUT/g)?.length).toBe(2);
    await initialise(pod.inside, ["--cleanup"]);
    expect(await dump(pod.inside)).not.toContain("TULLE");
    expect(alone).toContain("TULLE");
  });

  test("the resulting chains come last, under a heading for each family", async () => {
    using programs = only();
    using pod = createPod();
    const output = await initialise(pod.inside, ["--skip-outbound-ports", "3306"], programs);
    const shown = output.slice(output.indexOf("\nIPv4 ("));
    for (const [family, program] of [
      ["IPv4", `iptables-${backend}`],
      ["IPv6", `ip6tables-${backend}`],
    ] as const) {
      expect(shown).toContain(`\n${family} (${program} `);
      // iptables pads its last column.
      const listed = (await pod.inside.run([program, "-t", "nat", "-L", "-n"])).replaceAll(/ +$/gm, "");
      for (const chain of listed.trim().split("\n\n")) {
        const name = chain.split(" ")[1] ?? "";
        expect(shown.includes(chain)).toBe(!["INPUT", "POSTROUTING"].includes(name));
      }
    }
  });
});

test("a dry run and a wrong value touch nothing", async () => {
  using pod = createPod();
  expect((await init(pod.inside, ["--dry-run"])).status).toBe(0);
  expect((await init(pod.inside, ["--skip-inbound-ports", "70000"])).status).toBe(2);
  expect(await dump(pod.inside)).toBe("");
  expect(await pod.inside.run(["cat", "/proc/net/ip_tables_names"])).toBe("");
});

test("what a dry run prints is what iptables-restore takes and init writes", async () => {
  using pod = createPod();
  using other = NetworkNamespace.create("dry");
  const flags = ["--skip-inbound-ports", "1,2,3,5-9", "--skip-outbound-cidrs", "0.0.0.0/0,64:ff9b::/96"];
  const [v4 = "", v6 = ""] = (await initialise(pod.inside, ["--dry-run", ...flags])).split(/\n(?=# Tulle: what IPv6)/);
  await other.run(["iptables-nft-restore", "--noflush"], { input: v4 });
  await other.run(["ip6tables-nft-restore", "--noflush"], { input: v6 });
  await initialise(pod.inside, flags);
  expect(await dump(pod.inside)).toBe(await dump(other));
});

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PORTS, PROXY_UID } from "../mesh/index.ts";
import { type CaptureConfig, joinRanges, parseCidrs, parsePortRanges } from "./config.ts";
import { parseNatTable } from "./nat-table.ts";
import { renderCleanup, renderRestore } from "./restore.ts";
import { captureRules, MULTIPORT_SLOTS, splitSlots } from "./rules.ts";
import { selfTestTarget } from "./self-test.ts";
import { verifyCapture } from "./verify.ts";

const PLAIN: CaptureConfig = {
  proxyUid: PROXY_UID,
  skipInboundPorts: [],
  skipOutboundPorts: [],
  skipInboundCidrs: [],
  skipOutboundCidrs: [],
};
const FULL: CaptureConfig = {
  proxyUid: 2000,
  skipInboundPorts: parsePortRanges("22,8000-8010,15020", "in"),
  skipOutboundPorts: parsePortRanges("25,3306-3307,1,3,5,7,9,11,13,15,17,19,21,23,9000-9999", "out"),
  skipInboundCidrs: parseCidrs("10.1.0.0/16,fd01::/16", "in"),
  skipOutboundCidrs: parseCidrs("10.2.0.0/16,192.0.2.0/24,fd02::/16", "out"),
};

const withoutRemarks = (text: string) => text.replaceAll(/^#.*\n/gm, "");

describe("the rules as text", () => {
  test("are eight rules and two jumps, alike in both families, in one transaction", () => {
    const v4 = withoutRemarks(renderRestore(captureRules(PLAIN), "ipv4"));
    expect(v4).toBe(`*nat
:TULLE_INBOUND - [0:0]
:TULLE_OUTPUT - [0:0]
-A TULLE_INBOUND -p tcp -m tcp --dport 15008 -j RETURN
-A TULLE_INBOUND -p tcp -m multiport --dports 15020,15021 -j RETURN
-A TULLE_INBOUND -p tcp -j REDIRECT --to-ports 15006
-A TULLE_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A TULLE_OUTPUT -o lo -j RETURN
-A TULLE_OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A PREROUTING -p tcp -j TULLE_INBOUND
-A OUTPUT -p tcp -j TULLE_OUTPUT
COMMIT
`);
    expect(withoutRemarks(renderRestore(captureRules(PLAIN), "ipv6"))).toBe(v4);
  });

  test("12, 13: hold every exception before the redirect, and only the family's own ranges", () => {
    expect(withoutRemarks(renderRestore(captureRules(FULL), "ipv6"))).toBe(`*nat
:TULLE_INBOUND - [0:0]
:TULLE_OUTPUT - [0:0]
-A TULLE_INBOUND -p tcp -m tcp --dport 15008 -j RETURN
-A TULLE_INBOUND -p tcp -m multiport --dports 22,8000:8010,15020,15021 -j RETURN
-A TULLE_INBOUND -s fd01::/16 -j RETURN
-A TULLE_INBOUND -p tcp -j REDIRECT --to-ports 15006
-A TULLE_OUTPUT -m owner --uid-owner 2000 -j RETURN
-A TULLE_OUTPUT -o lo -j RETURN
-A TULLE_OUTPUT -p tcp -m multiport --dports 1,3,5,7,9,11,13,15,17,19,21,23,25,3306,3307 -j RETURN
-A TULLE_OUTPUT -p tcp -m multiport --dports 9000:9999 -j RETURN
-A TULLE_OUTPUT -d fd02::/16 -j RETURN
-A TULLE_OUTPUT -p tcp -j REDIRECT --to-ports 15001
-A PREROUTING -p tcp -j TULLE_INBOUND
-A OUTPUT -p tcp -j TULLE_OUTPUT
COMMIT
`);
  });

  test("never redirect to a port that is not the proxy's own", () => {
    const ports = captureRules(FULL)
      .chains.flatMap((chain) => chain.rules)
      .flatMap((rule) => (rule.target.kind === "redirect" ? [rule.target.port] : []));
    expect(ports).toEqual([PORTS.inboundPlaintext, PORTS.outbound]);
  });
});

describe("port slots", () => {
  const ranges = fc
    .array(
      fc
        .tuple(fc.integer({ min: 1, max: 60_000 }), fc.constantFrom(0, 0, 0, 1, 7))
        .map(([first, length]) => ({ first, last: first + length })),
      { maxLength: 80 },
    )
    .map(joinRanges);

  test("12: no rule holds more than 15, where a range counts two, and no port is lost", () => {
    fc.assert(
      fc.property(ranges, (wanted) => {
        const groups = splitSlots(wanted);
        expect(groups.flat()).toEqual(wanted);
        for (const [index, group] of groups.entries()) {
          const slots = (range: { first: number; last: number }) => (range.first === range.last ? 1 : 2);
          const used = group.reduce((sum, range) => sum + slots(range), 0);
          expect(used).toBeLessThanOrEqual(MULTIPORT_SLOTS);
          // Greedy: the next group's first entry would not have fitted.
          const next = groups[index + 1]?.[0];
          if (next !== undefined) expect(used + slots(next)).toBeGreaterThan(MULTIPORT_SLOTS);
        }
      }),
    );
  });
});

describe("against what is there", () => {
  const saved = (text: string) =>
    parseNatTable(
      withoutRemarks(text)
        .replace("*nat\n", "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n")
        .replaceAll(/^-D.*\n/gm, ""),
    );
  const whole = renderRestore(captureRules(FULL), "ipv4");

  test("14: the same rules leave the jumps alone and pass the check", () => {
    const table = saved(whole);
    expect(verifyCapture(captureRules(FULL), "ipv4", table)).toEqual([]);
    const again = renderRestore(captureRules(FULL), "ipv4", table);
    expect(again).not.toMatch(/^-[AD] (PREROUTING|OUTPUT)/m);
    expect(again).toContain(":TULLE_INBOUND - [0:0]");
  });

  test("15: doubled, misplaced or different jumps are replaced by one", () => {
    const table = saved(
      whole
        .replace("-A OUTPUT", "-A OUTPUT -j TULLE_OUTPUT\n-A OTHER -g TULLE_INBOUND\n-A OUTPUT")
        .replace("*nat", "*nat\n:OTHER - [0:0]"),
    );
    const text = renderRestore(captureRules(FULL), "ipv4", table);
    expect(text.match(/^-[AD] (PREROUTING|OUTPUT|OTHER) .*$/gm)).toEqual([
      "-D PREROUTING -p tcp -j TULLE_INBOUND",
      "-D OTHER -g TULLE_INBOUND",
      "-D OUTPUT -j TULLE_OUTPUT",
      "-D OUTPUT -p tcp -j TULLE_OUTPUT",
      "-A PREROUTING -p tcp -j TULLE_INBOUND",
      "-A OUTPUT -p tcp -j TULLE_OUTPUT",
    ]);
  });

  test.each([
    ["a missing chain", (text: string) => text.replaceAll(/.*TULLE_INBOUND.*\n/g, "")],
    ["a missing rule", (text: string) => text.replace("-A TULLE_OUTPUT -o lo -j RETURN\n", "")],
    ["a rule too many", (text: string) => text.replace("COMMIT", "-A TULLE_OUTPUT -j RETURN\nCOMMIT")],
    [
      "another order",
      (text: string) => text.replace(/(-A TULLE_OUTPUT -m owner.*\n)([\s\S]*?)(-A TULLE_OUTPUT -o lo.*\n)/, "$3$2$1"),
    ],
    ["another port", (text: string) => text.replace("--to-ports 15001", "--to-ports 15002")],
    ["no jump", (text: string) => text.replace(/-A OUTPUT.*\n/, "")],
    ["a second jump", (text: string) => text.replace(/(-A OUTPUT.*\n)/, "$1$1")],
  ])("the check finds %s", (_what, change) => {
    const changed = change(whole);
    expect(changed).not.toBe(whole);
    expect(verifyCapture(captureRules(FULL), "ipv4", saved(changed))).toHaveLength(1);
  });

  test("addresses compare by value, not by spelling", () => {
    const rules = captureRules({ ...PLAIN, skipOutboundCidrs: parseCidrs("::102:304/128", "out") });
    const table = saved(renderRestore(rules, "ipv6").replace("::102:304/128", "::1.2.3.4/128"));
    expect(verifyCapture(rules, "ipv6", table)).toEqual([]);
  });

  test("17, 18: clean-up takes out all of ours and names nothing else", () => {
    expect(renderCleanup(new Map())).toBeUndefined();
    const table = saved(
      whole.replace("-A PREROUTING", '-A PREROUTING -p udp -m comment --comment "a b" -j REDIRECT\n-A PREROUTING'),
    );
    expect(renderCleanup(table)).toBe(`*nat
-D PREROUTING -p tcp -j TULLE_INBOUND
-D OUTPUT -p tcp -j TULLE_OUTPUT
-F TULLE_INBOUND
-F TULLE_OUTPUT
-X TULLE_INBOUND
-X TULLE_OUTPUT
COMMIT
`);
  });
});

describe("the self-test's destination", () => {
  test("is a documentation address, on a port that is captured", () => {
    expect(selfTestTarget(PLAIN, "ipv4")).toEqual({ ip: "192.0.2.2", port: 1 } as never);
    expect(selfTestTarget(PLAIN, "ipv6")).toEqual({ ip: "2001:db8::1", port: 1 } as never);
    expect(selfTestTarget(FULL, "ipv4")).toEqual({ ip: "198.51.100.2", port: 2 } as never);
  });

  test("does not exist when nothing is captured", () => {
    const everything = { ...PLAIN, skipOutboundCidrs: parseCidrs("0.0.0.0/0", "out") };
    expect(selfTestTarget(everything, "ipv4")).toBeUndefined();
    expect(selfTestTarget(everything, "ipv6")).toBeDefined();
    const ports = { ...PLAIN, skipOutboundPorts: parsePortRanges("1-65535", "out") };
    expect(selfTestTarget(ports, "ipv6")).toBeUndefined();
  });
});

import { describe, expect, test } from "bun:test";
import { type Ip, parseIp } from "../../mesh/index.ts";
import { planAddresses } from "../addresses.ts";
import type { PodSpec, ServiceObject } from "../kinds.ts";
import { endpointsOf, type PodFacts, serviceRecord } from "./endpoints.ts";
import { renderNodeRules } from "./rules.ts";

const ip = (text: string): Ip => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const service: ServiceObject = {
  kind: "Service",
  metadata: { name: "web" },
  spec: {
    selector: { app: "web" },
    ports: [
      { name: "http", port: 80, targetPort: "http" },
      { name: "raw", port: 90 },
    ],
  },
};
const spec: PodSpec = { containers: [{ name: "a", image: "x", ports: [{ name: "http", containerPort: 8080 }] }] };
const pod = (name: string, change: Partial<PodFacts> = {}): PodFacts => ({
  uid: name,
  namespace: "demo",
  name,
  labels: { app: "web" },
  ips: [ip(`10.244.0.${name.length + 1}`), ip(`fd00::${name.length + 1}`)],
  ready: true,
  terminating: false,
  finished: false,
  spec,
  ...change,
});

describe("endpointsOf", () => {
  test("resolves named ports and keeps not-ready and terminating pods as not ready", () => {
    const pods = [
      pod("a"),
      pod("bb", { ready: false }),
      pod("ccc", { terminating: true }),
      pod("dddd", { finished: true }),
      pod("eeeee", { labels: {} }),
      pod("ffffff", { namespace: "x" }),
    ];
    const { endpoints } = endpointsOf("demo", service, pods);
    expect(endpoints.map((one) => [one.podUid, one.ready])).toEqual([
      ["a", true],
      ["a", true],
      ["bb", false],
      ["bb", false],
      ["ccc", false],
      ["ccc", false],
    ]);
    expect(endpoints[0]?.ports).toEqual([
      { name: "http", port: 8080 },
      { name: "raw", port: 90 },
    ]);
  });

  test("publishes not-ready addresses when asked", () => {
    const open = { ...service, spec: { ...service.spec, publishNotReadyAddresses: true } };
    expect(endpointsOf("demo", open, [pod("a", { ready: false })]).endpoints[0]?.ready).toBe(true);
  });
});

describe("renderNodeRules", () => {
  const plan = planAddresses({}, []);
  const record = serviceRecord("demo", service, [ip("10.96.0.20"), ip("fd00:10:96::20")]);
  const rules = (pods: PodFacts[], egress?: string) => ({
    pods: plan.pods,
    services: [{ service: record, endpoints: endpointsOf("demo", service, pods) }],
    egress,
  });

  test("balances evenly over ready endpoints, one family at a time", () => {
    const text = renderNodeRules(rules([pod("a"), pod("bb"), pod("ccc")]), 4);
    expect(text).toContain(
      "-A TULLE-SVC-0 -p tcp -m statistic --mode random --probability 0.33333333 -j DNAT --to-destination 10.244.0.2:8080",
    );
    expect(text).toContain(
      "-A TULLE-SVC-0 -p tcp -m statistic --mode random --probability 0.50000000 -j DNAT --to-destination 10.244.0.3:8080",
    );
    expect(text).toContain("-A TULLE-SVC-0 -p tcp -j DNAT --to-destination 10.244.0.4:8080");
    expect(text).not.toContain("fd00");
    const six = renderNodeRules(rules([pod("a")]), 6);
    expect(six).toContain("-A TULLE-SERVICES -d fd00:10:96::20/128 -p tcp --dport 80 -j TULLE-SVC-0");
    expect(six).toContain("--to-destination [fd00::2]:8080");
  });

  test("resets connections to a service without endpoints, and masquerades hairpins and egress", () => {
    const text = renderNodeRules(rules([pod("a", { ready: false })]), 4);
    expect(text).toContain("-A FORWARD -d 10.96.0.20/32 -p tcp --dport 80 -j REJECT --reject-with tcp-reset");
    expect(text).not.toContain("DNAT");
    const full = renderNodeRules(rules([pod("a")], "tap0"), 4);
    expect(full).toContain("-A POSTROUTING -s 10.244.0.2/32 -d 10.244.0.2/32 -j MASQUERADE");
    expect(full).toContain("-A POSTROUTING -s 10.244.0.0/24 -o tap0 -j MASQUERADE");
  });

  test("is accepted by the kernel's own parser", () => {
    if (process.geteuid?.() !== 0) return expect(renderNodeRules(rules([pod("a")]), 4)).toContain("COMMIT");
    for (const [family, tool] of [
      [4, "iptables-restore"],
      [6, "ip6tables-restore"],
    ] as const) {
      const ran = Bun.spawnSync(["unshare", "--net", tool, "--test"], {
        stdin: Buffer.from(renderNodeRules(rules([pod("a"), pod("bb")], "tap0"), family)),
      });
      expect(ran.stderr.toString()).toBe("");
      expect(ran.exitCode).toBe(0);
    }
  });
});

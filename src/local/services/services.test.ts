import { describe, expect, test } from "bun:test";
import { type Ip, parseIp } from "../../mesh/index.ts";
import { planAddresses } from "../addresses.ts";
import type { IpFamily, PodSpec, ServiceObject } from "../kinds.ts";
import { endpointsOf, type PodFacts, serviceRecord } from "./endpoints.ts";
import { familiesOf } from "./families.ts";
import { renderNodeRules } from "./rules.ts";

const ip = (text: string): Ip => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const BOTH: readonly IpFamily[] = ["IPv4", "IPv6"];
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
    const { endpoints } = endpointsOf("demo", service, BOTH, pods);
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
    expect(endpointsOf("demo", open, BOTH, [pod("a", { ready: false })]).endpoints[0]?.ready).toBe(true);
  });
});

describe("familiesOf", () => {
  const cases: [what: string, spec: Partial<ServiceObject["spec"]>, available: readonly IpFamily[], IpFamily[]][] = [
    ["one, IPv4, unless it says otherwise", {}, BOTH, ["IPv4"]],
    ["the one that it names", { ipFamilies: ["IPv6"] }, BOTH, ["IPv6"]],
    ["the one of its cluster IP", { clusterIP: "fd00::9" }, BOTH, ["IPv6"]],
    ["both when it prefers both", { ipFamilyPolicy: "PreferDualStack" }, BOTH, ["IPv4", "IPv6"]],
    ["what there is when it prefers both", { ipFamilyPolicy: "PreferDualStack" }, ["IPv4"], ["IPv4"]],
    ["both in its order", { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv6"] }, BOTH, ["IPv6", "IPv4"]],
    ["both when it names both without a policy", { ipFamilies: ["IPv6", "IPv4"] }, BOTH, ["IPv6", "IPv4"]],
    ["the same for a headless one", { clusterIP: "None" }, BOTH, ["IPv4"]],
  ];
  test.each(cases)("%s", (_what, spec, available, families) => {
    expect(familiesOf({ ...service, spec: { ...service.spec, ...spec } }, available)).toEqual(families);
  });

  test("endpoints are of the Service's families alone", () => {
    const ips = (families: readonly IpFamily[]) =>
      endpointsOf("demo", service, families, [pod("a")]).endpoints.map((one): string => one.ip);
    expect(ips(["IPv4"])).toEqual(["10.244.0.2"]);
    expect(ips(["IPv6"])).toEqual(["fd00::2"]);
  });
});

describe("renderNodeRules", () => {
  const plan = planAddresses({}, []);
  const record = serviceRecord("demo", service, [ip("10.96.0.20"), ip("fd00:10:96::20")]);
  const rules = (pods: PodFacts[], egress?: string) => ({
    pods: plan.pods,
    services: [{ service: record, endpoints: endpointsOf("demo", service, BOTH, pods) }],
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

import { describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import * as dnsPacket from "dns-packet";
import fc from "fast-check";
import { type EndpointsRecord, type Ip, parseIp, type ServiceRecord } from "../../mesh/index.ts";
import { answer, type NameView, reverseName } from "./answer.ts";
import { reply } from "./message.ts";
import { nameServers, resolvConf } from "./resolv-conf.ts";
import { startNameServer } from "./server.ts";

const ip = (text: string): Ip => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const service = (name: string, clusterIps: readonly string[]): ServiceRecord => ({
  namespace: "demo",
  name,
  hostname: `${name}.demo.svc.cluster.local`,
  clusterIps: clusterIps.map(ip),
  ports: [{ name: "http", port: 80, protocol: "TCP" }],
});
const services = [
  service("web", ["10.96.0.20", "fd00:10:96::20"]),
  service("db", []),
  service("many", []),
  service("empty", []),
];
const endpoint = (text: string, ready = true) => ({
  ip: ip(text),
  podUid: text,
  ready,
  ports: [{ name: "http", port: 8080 }],
});
const endpoints: EndpointsRecord[] = [
  {
    namespace: "demo",
    service: "db",
    endpoints: [endpoint("10.244.0.2"), endpoint("fd00::2"), endpoint("10.244.0.3", false)],
  },
  {
    namespace: "demo",
    service: "many",
    endpoints: Array.from({ length: 200 }, (_, index) => endpoint(`10.244.1.${index + 1}`)),
  },
];
const view: NameView = {
  service: (namespace, name) => services.find((one) => one.namespace === namespace && one.name === name),
  endpoints: (namespace, name) => endpoints.find((one) => one.namespace === namespace && one.service === name),
  podHost: (uid) =>
    uid === "10.244.0.2" ? { hostname: "db-0", subdomain: "db" } : { hostname: uid, subdomain: undefined },
  namespaceExists: (name) => name === "demo" || name === "default",
  serviceOf: (address) => services.find((one) => one.clusterIps.includes(address)),
  inClusterRange: (address) => address.startsWith("10.") || address.startsWith("fd00"),
};
const data = (name: string, type: string) => {
  const found = answer({ name, type }, view);
  return found.kind === "records" ? found.records.map((record) => record.data) : found.kind;
};

describe("the cluster's names", () => {
  test.each([
    ["web.demo.svc.cluster.local", "A", ["10.96.0.20"]],
    ["WEB.demo.svc.CLUSTER.local", "A", ["10.96.0.20"]],
    ["web.demo.svc.cluster.local", "AAAA", ["fd00:10:96::20"]],
    ["web.demo.svc.cluster.local", "TXT", "nodata"],
    ["db.demo.svc.cluster.local", "A", ["10.244.0.2"]],
    ["db.demo.svc.cluster.local", "AAAA", ["fd00::2"]],
    ["db-0.db.demo.svc.cluster.local", "A", ["10.244.0.2"]],
    ["db-0.db.demo.svc.cluster.local", "AAAA", "nodata"],
    ["10-244-0-9.db.demo.svc.cluster.local", "A", "nxdomain"],
    ["empty.demo.svc.cluster.local", "A", "nxdomain"],
    [
      "_http._tcp.web.demo.svc.cluster.local",
      "SRV",
      [{ priority: 0, weight: 100, port: 80, target: "web.demo.svc.cluster.local" }],
    ],
    ["_http._udp.web.demo.svc.cluster.local", "SRV", "nxdomain"],
    ["_http._tcp.web.demo.svc.cluster.local", "A", "nodata"],
    ["10-244-0-7.demo.pod.cluster.local", "A", ["10.244.0.7"]],
    ["fd00--7.demo.pod.cluster.local", "AAAA", ["fd00::7"]],
    ["nobody.demo.svc.cluster.local", "A", "nxdomain"],
    ["web.nowhere.svc.cluster.local", "A", "nxdomain"],
    ["web.demo.svc.cluster.local.demo.svc.cluster.local", "A", "nxdomain"],
    ["demo.svc.cluster.local", "A", "nodata"],
    ["cluster.local", "A", "nodata"],
    ["example.com", "A", "forward"],
    ["local", "A", "forward"],
  ] as const)("%s %s", (name, type, wanted) => {
    expect(data(name, type)).toEqual(wanted as never);
  });

  test("reverse look-ups find the Service of a cluster IP, in both families", () => {
    for (const address of ["10.96.0.20", "fd00:10:96::20"])
      expect(data(reverseName(ip(address)), "PTR")).toEqual(["web.demo.svc.cluster.local"]);
    expect(data(reverseName(ip("10.96.0.99")), "PTR")).toBe("nxdomain");
    expect(data(reverseName(ip("192.0.2.1")), "PTR")).toBe("forward");
  });
});

describe("messages", () => {
  const query = (name: string, type: "A" | "AAAA", additionals: dnsPacket.Packet["additionals"] = []) =>
    dnsPacket.encode({
      type: "query",
      id: 7,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ name, type }],
      additionals: additionals ?? [],
    });

  test("too large for UDP are truncated, and whole over TCP (RFC 1035 §4.2.1)", () => {
    const request = query("many.demo.svc.cluster.local", "A");
    const udp = reply(request, view, "udp");
    const tcp = reply(request, view, "tcp");
    if (udp.kind !== "reply" || tcp.kind !== "reply") throw new Error("no reply");
    expect(udp.bytes.length).toBeLessThanOrEqual(512);
    expect(dnsPacket.decode(Buffer.from(udp.bytes)).flag_tc).toBe(true);
    expect(dnsPacket.decode(Buffer.from(tcp.bytes)).answers).toHaveLength(200);
  });

  test("of any bytes never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void reply(bytes, view, "udp")),
      { numRuns: 500 },
    );
    const good = query("web.demo.svc.cluster.local", "A");
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bent = new Uint8Array(good);
        bent[at] = value;
        reply(bent, view, "udp");
      }),
      { numRuns: 500 },
    );
  });

  test("with a name that is not ASCII are answered by a whole message without the question", () => {
    const request = query(`${"x".repeat(63)}.svc.cluster.local`, "A");
    request[20] = 0xff;
    const answered = reply(request, view, "udp");
    if (answered.kind !== "reply") throw new Error("no reply");
    const packet = dnsPacket.decode(Buffer.from(answered.bytes));
    expect(packet).toMatchObject({ type: "response", id: 7, questions: [], rcode: "NXDOMAIN" });
  });

  test("that are answers are ignored: two servers cannot be made to talk to each other", () => {
    expect(
      reply(dnsPacket.encode({ type: "response", id: 1, questions: [{ name: "web", type: "A" }] }), view, "udp").kind,
    ).toBe("ignore");
  });
});

test("the server answers an outside resolver over UDP and TCP, and SERVFAIL for other names without upstream", async () => {
  await using server = await startNameServer({ addresses: [ip("127.0.0.1")], port: 0, view, upstream: [] });
  const resolver = new Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([`127.0.0.1:${server.ports[0]}`]);
  expect(await resolver.resolve4("web.demo.svc.cluster.local")).toEqual(["10.96.0.20"]);
  expect(await resolver.resolve6("web.demo.svc.cluster.local")).toEqual(["fd00:10:96::20"]);
  expect(await resolver.resolve4("many.demo.svc.cluster.local")).toHaveLength(200);
  expect(resolver.resolve4("nobody.demo.svc.cluster.local")).rejects.toMatchObject({ code: "ENOTFOUND" });
  expect(resolver.resolve4("example.com")).rejects.toMatchObject({ code: "ESERVFAIL" });
});

test("resolv.conf searches the pod's own namespace first, and a stub resolver of the machine is not passed on", () => {
  expect(resolvConf("demo", [ip("10.96.0.10")])).toBe(
    "nameserver 10.96.0.10\nsearch demo.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
  );
  expect(nameServers("# x\nnameserver 127.0.0.53\nnameserver 192.0.2.1\noptions a\n")).toEqual(["192.0.2.1"]);
});

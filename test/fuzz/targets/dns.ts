/** The name server of the local node: answers questions and nothing else, within the size that the asker takes. */
import * as dnsPacket from "dns-packet";
import type { NameView } from "../../../src/local/dns/answer.ts";
import { reply } from "../../../src/local/dns/message.ts";
import type { Ip } from "../../../src/mesh/index.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../../../src/testkit/mesh-records.ts";
import { promise, same, type Target } from "../target.ts";

const web = serviceRecord("web", "10.96.0.20");
const headless = serviceRecord("db", "", { clusterIps: [] });
const pods = Array.from({ length: 60 }, (_, index) => podRecord(`db-${index}`, `10.244.1.${index}`));
const VIEW: NameView = {
  service: (namespace, name) => (namespace === "shop" ? [web, headless].find((one) => one.name === name) : undefined),
  endpoints: (namespace, name) => (namespace === "shop" && name === "db" ? endpointsRecord("db", pods) : undefined),
  podHost: (uid) => ({ hostname: uid.replace("uid-", ""), subdomain: "db" }),
  namespaceExists: (name) => name === "shop",
  serviceOf: (ip) => (web.clusterIps.includes(ip) ? web : undefined),
  inClusterRange: (ip: Ip) => ip.startsWith("10."),
};

const question = (name: string, type: "A" | "AAAA" | "SRV" | "PTR", additionals: dnsPacket.Answer[] = []) =>
  dnsPacket.encode({
    type: "query",
    id: 7,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type }],
    additionals,
  });
const EDNS: dnsPacket.Answer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 4096,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};
/** RFC 1035 §4.2.1, and what we send with EDNS. */
const LARGEST_UDP = 1232;

export const target: Target = {
  examples: [
    question("web.shop.svc.cluster.local", "A"),
    question("db.shop.svc.cluster.local", "A", [EDNS]),
    question("_http._tcp.db.shop.svc.cluster.local", "SRV"),
    question("db-1.db.shop.svc.cluster.local", "AAAA"),
    question("20.0.96.10.in-addr.arpa", "PTR"),
    question("10-244-1-1.shop.pod.cluster.local", "A"),
    question("0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", "PTR"),
    question("example.com", "A"),
  ],
  longest: 600,
  tokens: [
    "\x03svc",
    "\x07cluster\x05local\0",
    "\x04shop",
    "\x03web",
    "\x02db",
    "\x04_tcp",
    "\xc0\x0c",
    "\0\x01\0\x01",
    "\x04arpa\0",
    "\0\0\x29\x02\0",
  ].map((text) => Buffer.from(text, "latin1")),
  run(input) {
    for (const transport of ["udp", "tcp"] as const) {
      const answered = reply(input, VIEW, transport);
      if (answered.kind === "ignore") continue;
      promise(((input[2] as number) & 0x80) === 0, "an answer is never answered");
      const bytes = answered.kind === "reply" ? answered.bytes : answered.failure;
      promise(
        transport === "tcp" || bytes.length <= Math.max(LARGEST_UDP, input.length + 64),
        "a UDP answer is not too large",
      );
      const packet = dnsPacket.decode(Buffer.from(bytes));
      same(packet.type, "response", "the kind of the answer");
      same(packet.id, ((input[0] as number) << 8) | (input[1] as number), "the id of the answer");
    }
  },
};

/** What is not TCP, and names: UDP passes the proxy by whatever its size, and resolvers are reached by UDP and by TCP. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { namespace, pod, service } from "../support/apps.ts";
import { Play } from "../support/play.ts";

/** Sends every datagram back. */
const ECHO = `
const socket = require("dgram").createSocket({ type: "udp6", ipv6Only: false, sendBufferSize: 200000, recvBufferSize: 200000 });
socket.on("message", (bytes, peer) => socket.send(bytes, peer.port, peer.address)).bind(5300, "::");
`;
/** As the resolver that each node has in many clusters. */
const NODE_LOCAL = "169.254.20.10";
/** Passes questions on to the play's own name server, by the protocol in which they came. Says when it listens. */
const RESOLVER = `
const net = require("net"), dgram = require("dgram"), upstream = process.argv[1];
net.createServer((c) => {
  const u = net.connect(53, upstream);
  for (const one of [c, u]) one.on("error", () => {});
  c.pipe(u).pipe(c);
}).listen(53, "${NODE_LOCAL}");
const own = dgram.createSocket("udp4").on("message", (question, peer) => {
  const asked = dgram.createSocket("udp4").on("message", (answer) => { own.send(answer, peer.port, peer.address); asked.close(); });
  asked.send(question, 53, upstream);
}).bind(53, "${NODE_LOCAL}", () => console.log(process.pid));
`;

let play: Play;

beforeAll(async () => {
  play = await Play.start([
    namespace("mesh", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" }),
    namespace("plain", { "tulle.dev/inject": "disabled" }),
    pod("mesh", "client", { script: ECHO, user: 0 }),
    pod("plain", "outsider", { script: ECHO }),
    service("plain", "outsider", { web: [80, 8080] }),
  ]);
}, 120_000);

afterAll(async () => {
  await play?.[Symbol.asyncDispose]();
}, 60_000);

/** Sends a datagram of so many bytes and answers how many came back unchanged. */
async function echoed(from: string, host: string, size: number): Promise<string> {
  const script = `
const bytes = require("crypto").randomBytes(${size});
const socket = require("dgram").createSocket({ type: "udp${host.includes(":") ? 6 : 4}", sendBufferSize: 200000, recvBufferSize: 200000 });
socket.on("message", (back) => { console.log(back.equals(bytes) ? back.length : "other bytes"); process.exit(0); });
socket.send(bytes, 5300, ${JSON.stringify(host)});
setTimeout(() => process.exit(5), 5000);`;
  return (await play.exec(from, "app", ["node", "-e", script])).stdout.trim();
}

describe.each([4, 6] as const)("over IPv%d", (family) => {
  test.each([
    ["31: UDP", 100],
    ["33: a datagram of many fragments", 60_000],
  ])("%s passes in both directions, whatever the mode, and is not counted", async (_what, size) => {
    const before = await play.connections("mesh/client");
    expect(await echoed("mesh/client", await play.ip("plain/outsider", family), size)).toBe(`${size}`);
    expect(await echoed("plain/outsider", await play.ip("mesh/client", family), size)).toBe(`${size}`);
    expect(await play.connections("mesh/client")).toEqual(before);
  });
});

describe("32: names", () => {
  const NAME = "outsider.plain.svc.cluster.local";
  /** The C library's answer, asked for by UDP or by TCP only. */
  const resolved = (protocol: "udp" | "tcp") => {
    const options = `RES_OPTIONS=timeout:1 attempts:1${protocol === "tcp" ? " use-vc" : ""}`;
    return play.exec("mesh/client", "app", ["env", options, "getent", "ahostsv4", NAME]);
  };
  const tcpSeen = async () => (await play.connections("mesh/client")).get("outbound plaintext-external") ?? 0;

  test.each(["udp", "tcp"] as const)("resolve by %s at the cluster's name server", async (protocol) => {
    const before = await tcpSeen();
    expect((await resolved(protocol)).stdout).toContain(" STREAM");
    expect((await tcpSeen()) > before).toBe(protocol === "tcp");
  });

  test("resolve by udp and tcp at a resolver on an address of the node", async () => {
    const expected = (await resolved("udp")).stdout;
    const file = (await play.exec("mesh/client", "app", ["cat", "/etc/resolv.conf"])).stdout;
    const upstream = /nameserver (\d\S+)/.exec(file)?.[1] ?? "";
    await play.node(["ip", "addr", "add", `${NODE_LOCAL}/32`, "dev", "lo"]);
    const resolver = play.spawnOnNode(["timeout", "60", "node", "-e", RESOLVER, upstream]);
    const { value } = await resolver.stdout.getReader().read();
    const pid = new TextDecoder().decode(value).trim();
    try {
      const point = `echo nameserver ${NODE_LOCAL} >/etc/resolv.conf`;
      expect((await play.exec("mesh/client", "app", ["sh", "-c", point])).code).toBe(0);
      for (const protocol of ["udp", "tcp"] as const) {
        const before = await tcpSeen();
        expect((await resolved(protocol)).stdout).toBe(expected);
        expect((await tcpSeen()) > before).toBe(protocol === "tcp");
      }
      await play.node(["kill", pid]);
      expect((await resolved("udp")).code).not.toBe(0);
    } finally {
      resolver.kill();
      await play.node(["kill", pid]);
      await play.node(["ip", "addr", "del", `${NODE_LOCAL}/32`, "dev", "lo"]);
    }
  });
});

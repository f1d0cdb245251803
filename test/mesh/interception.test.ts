/**
 * Interception in real network namespaces, beside what scenarios.test.ts shows: calls that come back to their own pod, what
 * annotations leave out, and ports that are used twice.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { namespace, pod, SERVER, service } from "../support/apps.ts";
import { Play } from "../support/play.ts";

/**
 * Binds 8085 as one does who does not know SO_REUSEADDR, greets one connection, waits until its other side has ended, closes
 * both sockets and binds again.
 */
const REBINDER = `
use Socket qw(:all); $| = 1;
for (my $round = 1;; $round++) {
  socket(my $listener, AF_INET6, SOCK_STREAM, 0) or die;
  unless (bind($listener, pack_sockaddr_in6(8085, Socket::IN6ADDR_ANY))) { print "cannot bind: $!\\n"; sleep 600 }
  listen($listener, 8) or die;
  accept(my $peer, $listener) or die;
  syswrite($peer, "bound"); while (sysread($peer, my $bytes, 100)) {}
  close($peer); close($listener);
}
`;

/** More entries than one multiport match of iptables takes, which is 15. */
const MANY = Array.from({ length: 16 }, (_, index) => 3000 + 10 * index).join();
const PORTS = { http: [80, 8080], banner: [9000, 9000] } as const;
const server = (inNamespace: string, name: string, more: object = {}) =>
  pod(inNamespace, name, { script: SERVER, readyPort: 8080, ...more });
const annotations = {
  "tulle.dev/skip-inbound-ports": `${MANY},8080,9000-9002`,
  "tulle.dev/skip-outbound-ports": `${MANY},80-81,9000-9002`,
};
let play: Play;

beforeAll(async () => {
  play = await Play.start([
    namespace("mesh", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" }),
    namespace("loose", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "permissive" }),
    namespace("plain", { "tulle.dev/inject": "disabled" }),
    server("mesh", "server"),
    server("mesh", "one", { labels: { app: "twin" } }),
    server("mesh", "two", { labels: { app: "twin" } }),
    server("mesh", "skipping", { annotations }),
    server("loose", "soft"),
    pod("loose", "rebinder", { command: ["perl", "-e", REBINDER] }),
    server("plain", "outsider"),
    service("mesh", "server", PORTS),
    service("mesh", "twin", PORTS),
    service("mesh", "skipping", { last: [81, 9003] }),
  ]);
}, 120_000);

afterAll(async () => {
  await play?.[Symbol.asyncDispose]();
}, 60_000);

/** A script of node in the pod's application, which learns `host` and `port`; its output. */
async function node(from: string, script: string, host: string, port = 0): Promise<string> {
  const known = `const net = require("net"), host = ${JSON.stringify(host)}, port = ${port};\n`;
  const ran = await play.exec(from, "app", ["timeout", "20", "node", "-e", known + script]);
  if (ran.code !== 0) throw new Error(`exit code ${ran.code}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

/** curl to a name by one address family. */
const curl = (from: string, family: 4 | 6, name: string) =>
  play.exec(from, "app", ["curl", `-${family}`, "-sS", "--max-time", "10", "-d", "hello", `http://${name}/`]);

/** How much the counts of all pods of a list grow together while `act` runs. */
async function grown(pods: readonly string[], key: string, act: () => Promise<unknown>): Promise<number> {
  const sum = async () => {
    const counts = await Promise.all(pods.map(async (one) => (await play.connections(one)).get(key) ?? 0));
    return counts.reduce((total, count) => total + count, 0);
  };
  const before = await sum();
  await act();
  return (await sum()) - before;
}

describe.each([4, 6] as const)("calls to the own Service over IPv%d", (family) => {
  test("10: a call to the own Service comes back by mutual TLS, through the pod's own policy", async () => {
    let answer = "";
    const outbound = await grown(["mesh/server"], "outbound mtls", async () => {
      const inbound = await grown(["mesh/server"], "inbound mtls", async () => {
        answer = (await curl("mesh/server", family, "server.mesh")).stdout;
      });
      expect(inbound).toBe(1);
    });
    expect(answer).toMatch(/^server \S+ hello$/);
    expect(outbound).toBe(1);
  });

  test("10: one that leaves uncaptured comes back as plaintext, which the pod's own policy refuses", async () => {
    let code = 0;
    const refused = await grown(["mesh/skipping"], "inbound refused-strict", async () => {
      code = (await play.exec("mesh/skipping", "app", ["curl", `-${family}`, "-sS", "http://skipping.mesh:81/"])).code;
    });
    expect(code).not.toBe(0);
    expect(refused).toBe(1);
  });

  test("11: with two replicas, calls to the own Service reach itself and the other alike", async () => {
    const calls = 20;
    const twins = ["mesh/one", "mesh/two"];
    const loop = `for _ in $(seq ${calls}); do curl -${family} -sS --max-time 10 -d hello http://twin/ && echo; done`;
    let answers: string[] = [];
    const inbound = await grown(twins, "inbound mtls", async () => {
      answers = (await play.exec("mesh/one", "app", ["sh", "-c", loop])).stdout.trim().split("\n");
    });
    expect(answers).toHaveLength(calls);
    expect(new Set(answers.map((answer) => answer.replace(/ .* /, " ")))).toEqual(new Set(["one hello", "two hello"]));
    expect(inbound).toBe(calls);
  });
});

describe.each([4, 6] as const)("ports used twice over IPv%d", (family) => {
  /** Two servers that speak first, both called from one port; the first connection stays open. */
  const TWICE = `
const greeting = (port) => new Promise((resolve, reject) => {
  net.connect({ host, port, localPort: 41000 }).once("data", (data) => resolve(port + " " + data)).on("error", reject);
});
(async () => { process.stdout.write(await greeting(9000) + await greeting(9002)); process.exit(0); })();
`;
  const GREETINGS = "9000 220 banner ready\r\n9002 done first";

  test("22: one source port to two ports of a server passes: captured where it leaves", async () => {
    const host = await play.ip("mesh/server", family);
    const carried = await grown(["mesh/one"], "outbound mtls", async () => {
      expect(await node("mesh/one", TWICE, host)).toBe(GREETINGS);
    });
    expect(carried).toBe(2);
  });

  test("22: one source port to two ports of a server passes: captured where it arrives (istio#38982)", async () => {
    const host = await play.ip("loose/soft", family);
    const passed = await grown(["loose/soft"], "inbound plaintext-permissive", async () => {
      expect(await node("plain/outsider", TWICE, host)).toBe(GREETINGS);
    });
    expect(passed).toBe(2);
  });

  test.each([
    ["by mutual TLS", "mesh/one", "mtls"],
    ["in plaintext", "plain/outsider", "plaintext-permissive"],
  ])(
    "23: an application binds its port again after connections %s have ended (istio#52260)",
    async (_how, from, reason) => {
      const rounds = `
let left = 5;
(function round() {
  const c = net.connect({ host, port, allowHalfOpen: true });
  let heard = false;
  c.once("data", () => { heard = true; c.end(); });
  c.on("error", () => {});
  c.on("end", () => c.end());
  c.on("close", () => { if (heard && --left === 0) console.log("done"); else setTimeout(round, 10); });
})();`;
      const host = await play.ip("loose/rebinder", family);
      const passed = await grown(["loose/rebinder"], `inbound ${reason}`, async () => {
        expect(await node(from, rounds, host, 8085)).toBe("done\n");
      });
      expect(passed).toBeGreaterThanOrEqual(5);
      expect(await play.logs("loose/rebinder", "app")).toBe("");
    },
  );
});

test.each([
  ["a tunnel", "mesh/server", 4],
  ["plaintext", "plain/outsider", 6],
] as const)(
  "24: a connection half closed through %s is probed before the kernel forgets it (istio#43301)",
  async (_how, to, family) => {
    const halfClosed = `
const c = net.connect({ host, port, allowHalfOpen: true });
c.resume().on("end", function look() {
  const sockets = String(require("child_process").execFileSync("ss", ["-tnoH", "sport = :15001 and dport = :" + c.localPort]));
  if (!sockets.startsWith("FIN-WAIT-2")) return setTimeout(look, 20);
  process.stdout.write(require("fs").readFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait") + sockets);
  process.exit(0);
});`;
    const [limit, socket] = (await node("mesh/one", halfClosed, await play.ip(to, family), 9002)).split("\n");
    const probed = Number(/timer:\(keepalive,(\d+)sec,0\)/.exec(socket ?? "")?.[1]);
    expect(probed).toBeLessThan(Number(limit) - 10);
  },
);

test.each([4, 6] as const)(
  "12: ports that annotations leave out pass the proxy by, in and out, over IPv%d",
  async (family) => {
    const own = await play.ip("mesh/skipping", family);
    const banner = `net.connect({ host, port }).once("data", (data) => { process.stdout.write(data); process.exit(0); });`;
    const before = await play.connections("mesh/skipping");
    expect(await node("plain/outsider", banner, own, 9000)).toBe("220 banner ready\r\n");
    expect(await node("plain/outsider", banner, own, 9002)).toBe("done first");
    expect(await node("mesh/skipping", banner, await play.ip("plain/outsider", family), 9002)).toBe("done first");
    expect(await play.connections("mesh/skipping")).toEqual(before);
  },
);

/**
 * The data plane in real network namespaces, IPv4 and IPv6: interception, identity and streams. Numbers in the names are
 * those of docs/scenarios.md.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namespace, pod, SERVER, service, serviceAccount, tcpClient } from "../support/apps.ts";
import { certificate } from "../support/openssl.ts";
import { Play } from "../support/play.ts";

const PORTS = { http: [80, 8080], banner: [9000, 9000], hash: [9001, 9001], first: [9002, 9002] } as const;
let play: Play;

beforeAll(async () => {
  play = await Play.start([
    namespace("mesh", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" }),
    namespace("loose", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "permissive" }),
    namespace("plain", { "tulle.dev/inject": "disabled" }),
    serviceAccount("mesh", "server"),
    serviceAccount("mesh", "other"),
    pod("mesh", "server", { script: SERVER, serviceAccount: "server", readyPort: 8080 }),
    pod("mesh", "other", { script: SERVER, serviceAccount: "other", readyPort: 8080 }),
    pod("mesh", "client"),
    pod("loose", "soft", { script: SERVER, readyPort: 8080 }),
    pod("plain", "outsider", { script: SERVER, readyPort: 8080 }),
    service("mesh", "server", PORTS),
    service("mesh", "headless", PORTS, { headless: true, app: "server" }),
    service("plain", "outsider", PORTS),
  ]);
}, 120_000);

afterAll(async () => {
  await play?.[Symbol.asyncDispose]();
}, 60_000);

const bracket = (host: string) => (host.includes(":") ? `[${host}]` : host);
const curl = (from: string, host: string, port: number, body = "hello") =>
  play.exec(from, "app", ["curl", "-sS", "-g", "--max-time", "10", "-d", body, `http://${bracket(host)}:${port}/`]);

/** openssl's TLS client on the node, to the mesh's port of a pod. */
const tlsClient = (host: string, flags: readonly string[], stdin = "") => {
  const target = ["-connect", `${bracket(host)}:15008`, "-alpn", "h2"];
  return play.node(["timeout", "5", "openssl", "s_client", ...target, ...flags], stdin);
};

/** What a name resolves to in the client's container, as getent prints it. */
const lookup = async (name: string, family: 4 | 6) =>
  (await play.exec("mesh/client", "app", ["getent", `ahostsv${family}`, name])).stdout;

/** The client's and the server's word on one successful meshed request. */
async function meshed(host: string, port: number): Promise<void> {
  let answer = "";
  const outbound = await play.growth("mesh/client", "outbound mtls", async () => {
    const inbound = await play.growth("mesh/server", "inbound mtls", async () => {
      const got = await curl("mesh/client", host, port);
      answer = got.stdout + got.stderr;
    });
    expect(inbound).toBe(1);
  });
  expect(answer).toMatch(/^server \S+ hello$/);
  expect(outbound).toBe(1);
}

describe.each([4, 6] as const)("26: interception over IPv%d", (family) => {
  test("1: a connection to a cluster IP is captured and carried by mTLS", async () => {
    const looked = await lookup("server.mesh.svc.cluster.local", family);
    const vip =
      looked
        .split("\n")
        .find((line) => line.includes("STREAM"))
        ?.split(/\s+/)[0] ?? "";
    expect(vip).toMatch(family === 4 ? /^\d+\./ : /:/);
    await meshed(vip, 80);
  });

  test("2: a connection to a pod IP is captured and carried by mTLS", async () => {
    await meshed(await play.ip("mesh/server", family), 8080);
  });

  test("3: a connection to a headless name is captured and carried by mTLS", async () => {
    const looked = await lookup("headless.mesh.svc.cluster.local", family);
    expect(looked.split(/\s+/)[0]).toBe(await play.ip("mesh/server", family));
    await meshed(family === 4 ? "headless" : await play.ip("mesh/server", 6), 8080);
  });

  test("4: a connection to an address outside the mesh passes in plaintext and is counted", async () => {
    const outside = family === 4 ? "198.51.100.10" : "2001:db8:51::10";
    await play.node(["ip", "addr", "replace", `${outside}/${family === 4 ? 32 : 128}`, "dev", "lo"]);
    const server = play.spawnOnNode([
      "timeout",
      "30",
      "node",
      "-e",
      `require("http").createServer((q, s) => s.end("outside")).listen(8088, ${JSON.stringify(outside)}, () => console.log(process.pid))`,
    ]);
    const { value } = await server.stdout.getReader().read();
    const pid = new TextDecoder().decode(value).trim();
    try {
      let answer = "";
      const grown = await play.growth("mesh/client", "outbound plaintext-external", async () => {
        answer = (await curl("mesh/client", outside, 8088)).stdout;
      });
      expect(answer).toBe("outside");
      expect(grown).toBe(1);
    } finally {
      server.kill();
      await play.node(["kill", pid]);
      await play.node(["ip", "addr", "del", `${outside}/${family === 4 ? 32 : 128}`, "dev", "lo"]);
    }
  });

  test("a known destination without a sidecar is reached in plaintext and counted", async () => {
    let answer = "";
    const grown = await play.growth("mesh/client", "outbound plaintext-unmeshed", async () => {
      answer = (await curl("mesh/client", await play.ip("plain/outsider", family), 8080)).stdout;
    });
    expect(answer).toStartWith("outsider ");
    expect(grown).toBe(1);
  });

  test("5: plaintext to any port of a strict pod, declared or not, is reset and counted", async () => {
    for (const port of [8080, 9000, 12345]) {
      let code = 0;
      const host = await play.ip("mesh/server", family);
      const grown = await play.growth("mesh/server", "inbound refused-strict", async () => {
        code = (await play.exec("plain/outsider", "app", tcpClient(host, port, `"x"`, false))).code;
      });
      expect(code).toBe(3);
      expect(grown).toBe(1);
    }
    expect(await play.logs("mesh/server", "tulle-proxy")).toContain("refused-strict");
  });

  test("5: plaintext to a permissive pod is forwarded and counted", async () => {
    let answer = "";
    const host = await play.ip("loose/soft", family);
    const grown = await play.growth("loose/soft", "inbound plaintext-permissive", async () => {
      answer = (await curl("plain/outsider", host, 8080)).stdout;
    });
    expect(answer).toBe(
      `soft ${await play.ip("loose/soft", family).then((ip) => (family === 4 ? `::ffff:${ip}` : ip))} hello`,
    );
    expect(grown).toBe(1);
  });

  test("6: port 15008 is not redirected: TLS answers on it", async () => {
    const host = await play.ip("mesh/server", family);
    const shown = await tlsClient(host, ["-tls1_3", "-showcerts"]);
    expect(shown.stdout).toContain("BEGIN CERTIFICATE");
  });

  test("7: the proxy's own connections are not captured", async () => {
    const host = await play.ip("mesh/server", family);
    const before = await play.connections("mesh/client");
    await meshed(host, 8080);
    const after = await play.connections("mesh/client");
    const total = (counts: Map<string, number>) =>
      [...counts].filter(([key]) => key.startsWith("outbound ")).reduce((sum, [, count]) => sum + count, 0);
    expect(total(after) - total(before)).toBe(1);
  });

  test("8, 9: the application reaches loopback and its own pod IP directly", async () => {
    const own = await play.ip("mesh/server", family);
    const hosts = family === 4 ? ["127.0.0.1", "127.0.1.1", own] : ["::1", own];
    const before = [...(await play.connections("mesh/server")).values()].reduce((sum, count) => sum + count, 0);
    for (const host of hosts) {
      expect((await curl("mesh/server", host, 8080)).stdout).toStartWith("server ");
    }
    const after = [...(await play.connections("mesh/server")).values()].reduce((sum, count) => sum + count, 0);
    expect(after).toBe(before);
  });

  test("91: a port that the application opened on loopback only is not reachable through the mesh", async () => {
    const got = await play.exec(
      "mesh/client",
      "app",
      tcpClient(await play.ip("mesh/server", family), 7070, `"x"`, false),
    );
    expect(got.code).toBe(3);
    expect(got.stdout).toBe("");
  });

  test("34: a marker sent through the mesh is not on the wire; without the mesh it is", async () => {
    const marker = `marker-${family}-${crypto.randomUUID()}`;
    const meshedBytes = await play.capture(async () => {
      expect((await curl("mesh/client", await play.ip("mesh/server", family), 8080, marker)).stdout).toContain(marker);
    });
    expect(meshedBytes.length).toBeGreaterThan(1000);
    expect(meshedBytes.includes(marker)).toBe(false);
    const plainBytes = await play.capture(async () => {
      expect((await curl("mesh/client", await play.ip("plain/outsider", family), 8080, marker)).stdout).toContain(
        marker,
      );
    });
    expect(plainBytes.includes(marker)).toBe(true);
  });

  test("71: a server that speaks first is heard at once", async () => {
    const got = await play.exec(
      "mesh/client",
      "app",
      tcpClient(await play.ip("mesh/server", family), 9000, `""`, false),
    );
    expect(got.stdout).toBe("220 banner ready\r\n");
    expect(Number(/first ([\d.]+)/.exec(got.stderr)?.[1])).toBeLessThan(500);
  });

  test("60: a half-closed connection carries the rest, client first and server first", async () => {
    const size = 3_000_000;
    const hash = createHash("sha256").update(Buffer.alloc(size, "abcdefg")).digest("hex");
    const host = await play.ip("mesh/server", family);
    const body = `Buffer.alloc(${size}, "abcdefg")`;
    const client = await play.exec("mesh/client", "app", tcpClient(host, 9001, body, true));
    expect(client.stdout).toBe(`${size} ${hash}`);
    const server = await play.exec("mesh/client", "app", [
      "node",
      "-e",
      `const c = require("net").connect({ host: ${JSON.stringify(host)}, port: 9002, allowHalfOpen: true }); let got = "";
c.on("data", (d) => (got += d)); c.on("end", () => setTimeout(() => c.end(${body}, () => console.log(got)), 100));`,
    ]);
    expect(server.stdout.trim()).toBe("done first");
    const report = await play.exec("mesh/client", "app", tcpClient(host, 9003, `""`, true));
    expect(report.stdout).toBe(`${size} ${hash}`);
  });

  test("61: a reset by the server reaches the client as a reset", async () => {
    const got = await play.exec(
      "mesh/client",
      "app",
      tcpClient(await play.ip("mesh/server", family), 9004, `"x"`, false),
    );
    expect(got.code).toBe(3);
  });

  test("53: a closed port is a reset for the client, with its reason at both ends", async () => {
    let code = 0;
    const host = await play.ip("mesh/server", family);
    const outbound = await play.growth("mesh/client", "outbound failed-connect", async () => {
      const inbound = await play.growth("mesh/server", "inbound failed-connect", async () => {
        code = (await play.exec("mesh/client", "app", tcpClient(host, 4444, `"x"`, false))).code;
      });
      expect(inbound).toBe(1);
    });
    expect(code).toBe(3);
    expect(outbound).toBe(1);
  });

  test("51: own ports of the mesh are refused through the mesh", async () => {
    const host = await play.ip("mesh/server", family);
    const grown = await play.growth("mesh/client", "outbound refused-own-port", async () => {
      expect((await play.exec("mesh/client", "app", tcpClient(host, 15001, `"x"`, false))).code).toBe(3);
    });
    expect(grown).toBe(1);
  });
});

describe.each([4, 6] as const)("identity over IPv%d", (family) => {
  const handshake = async (flags: readonly string[], reasons: readonly string[]) => {
    const host = await play.ip("mesh/server", family);
    const sum = async () => {
      const counts = await play.connections("mesh/server");
      return reasons.reduce((total, reason) => total + (counts.get(`inbound ${reason}`) ?? 0), 0);
    };
    const before = await sum();
    const got = await tlsClient(host, ["-ign_eof", ...flags], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    expect(got.stdout + got.stderr).toMatch(/alert|reset|errno|closed|error/i);
    let grown = 0;
    for (const deadline = Date.now() + 3000; grown === 0 && Date.now() < deadline; ) grown = (await sum()) - before;
    expect(grown).toBe(1);
    const log = await play.logs("mesh/server", "tulle-proxy");
    expect(reasons.some((reason) => log.includes(reason))).toBe(true);
  };

  test("35: TLS 1.2 is refused", () => handshake(["-tls1_2"], ["failed-handshake"]));
  test("36: a peer without a certificate is refused", () => handshake(["-tls1_3"], ["refused-untrusted"]));

  test("37: a peer of another authority is refused, though it carries the right name", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tulle-other-ca-"));
    try {
      const files = { key: join(folder, "key.pem"), crt: join(folder, "cert.pem") };
      const name = "subjectAltName=URI:spiffe://cluster.local/ns/mesh/sa/default";
      certificate(files, "/O=other", "-addext", name);
      await handshake(["-tls1_3", "-cert", files.crt, "-key", files.key], ["refused-untrusted"]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("38: another service account at the expected address is refused by the client", async () => {
    const expected = await play.ip("mesh/other", family);
    const actual = await play.ip("mesh/server", family);
    const iptables = family === 4 ? "iptables" : "ip6tables";
    const rule = [
      "PREROUTING",
      "-t",
      "nat",
      "-p",
      "tcp",
      "-d",
      expected,
      "--dport",
      "15008",
      "-j",
      "DNAT",
      "--to-destination",
      `${bracket(actual)}:15008`,
    ];
    expect((await play.node([iptables, "-I", ...rule])).code).toBe(0);
    try {
      let code = 0;
      const grown = await play.growth("mesh/client", "outbound refused-identity-mismatch", async () => {
        code = (await play.exec("mesh/client", "app", tcpClient(expected, 8080, `"x"`, false))).code;
      });
      expect(code).toBe(3);
      expect(grown).toBeGreaterThanOrEqual(1);
      expect(await play.logs("mesh/client", "tulle-proxy")).toContain("refused-identity-mismatch");
    } finally {
      await play.node([iptables, "-D", ...rule]);
    }
    expect((await curl("mesh/client", expected, 8080)).stdout).toStartWith("other ");
  });
});

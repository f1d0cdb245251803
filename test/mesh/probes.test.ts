/**
 * Probes and lifecycle handlers of strict pods, in real network namespaces: what the kubelet asks for arrives, while the
 * same port refuses everybody who comes in plaintext.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { namespace } from "../support/apps.ts";
import { TULLE } from "../support/machine.ts";
import { Play, run } from "../support/play.ts";

/** HTTP on 8080: `/break` makes `/ready` fail; every request is logged. TCP on 9000, gRPC health on 9090. */
const APP = `
const http = require("http"), net = require("net"), http2 = require("http2");
let broken = false;
http.createServer((q, s) => {
  console.log(q.method + " " + q.url + " " + q.headers["user-agent"] + " " + (q.headers["x-probe"] || ""));
  if (q.url === "/break") broken = true;
  if (q.url === "/mend") broken = false;
  s.writeHead(q.url === "/ready" && broken ? 500 : 200);
  s.end("ok");
}).listen(8080, "::");
net.createServer((c) => { c.on("error", () => {}); c.end(); }).listen(9000, "::");
const grpc = http2.createServer();
grpc.on("stream", (s, h) => {
  console.log(h[":path"]);
  s.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  s.on("wantTrailers", () => s.sendTrailers({ "grpc-status": "0" }));
  s.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
});
grpc.listen(9090, "::");
process.on("SIGTERM", () => process.exit(0));
`;
const PORTS = { http: 8080, tcp: 9000, grpc: 9090 } as const;
const TIMING = { periodSeconds: 1, failureThreshold: 30, timeoutSeconds: 5 };

function container(name: string, more: object): object {
  return {
    name,
    image: "node",
    command: ["node", "-e", APP],
    ports: [{ name: "web", containerPort: 8080 }],
    securityContext: { runAsUser: 1000 },
    ...more,
  };
}

function pod(name: string, spec: object): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace: "mesh", name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 10, ...spec },
  };
}

const probed = (name: string, probes: object) => pod(name, { containers: [container("app", probes)] });
const ready = {
  httpGet: { path: "/ready", port: "web", httpHeaders: [{ name: "X-Probe", value: "$(HOME)" }] },
  ...TIMING,
};

let play: Play;

beforeAll(async () => {
  const byHand = await run(
    [TULLE, "inject", "-"],
    undefined,
    JSON.stringify(probed("byhand", { startupProbe: ready, readinessProbe: ready })),
  );
  if (byHand.code !== 0) throw new Error(byHand.stderr);
  play = await Play.start([
    namespace("mesh", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" }),
    probed("http", { startupProbe: ready, livenessProbe: ready, readinessProbe: { ...ready, failureThreshold: 1 } }),
    probed("tcp", { readinessProbe: { tcpSocket: { port: 9000 }, ...TIMING } }),
    probed("grpc", { readinessProbe: { grpc: { port: 9090 }, ...TIMING } }),
    // The helper is a native sidecar: it is probed before the application starts, and it hears the handlers.
    pod("hooks", {
      initContainers: [container("helper", { restartPolicy: "Always", startupProbe: ready })],
      containers: [
        {
          name: "app",
          image: "node",
          command: ["node", "-e", `process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1 << 30);`],
          lifecycle: {
            postStart: { httpGet: { path: "/started", port: 8080 } },
            preStop: { httpGet: { path: "/stopping", port: 8080 } },
          },
        },
      ],
    }),
    JSON.parse(byHand.stdout) as object,
  ]);
}, 120_000);

afterAll(async () => {
  await play?.[Symbol.asyncDispose]();
}, 60_000);

/** Exit codes of curl: the connection was reset, while it sent or at once. */
const RESET = [7, 56];

/** What the node, where a kubelet is, gets from a pod. */
const fromNode = (ip: string, port: number, path = "/ready") =>
  play.node(["curl", "-sS", "-g", "--max-time", "5", `http://${ip.includes(":") ? `[${ip}]` : ip}:${port}${path}`]);

describe.each(["http", "tcp", "grpc"] as const)("a strict pod with a %s probe", (kind) => {
  test("80, 106: is ready, and in plaintext its port is refused", async () => {
    // Play.start has waited for it.
    for (const family of [4, 6] as const) {
      const ip = await play.ip(`mesh/${kind}`, family);
      let code = 0;
      const refused = await play.growth(`mesh/${kind}`, "inbound refused-strict", async () => {
        code = (await fromNode(ip, PORTS[kind])).code;
      });
      expect(RESET).toContain(code);
      expect(refused).toBe(1);
    }
  });
});

describe("probes of a strict pod", () => {
  test("reach the application as the kubelet makes them", async () => {
    const log = await play.logs("mesh/http", "app");
    expect(log).toMatch(/^GET \/ready kube-probe\/tulle-\S+ \$\(HOME\)$/m);
    expect(await play.logs("mesh/grpc", "app")).toContain("/grpc.health.v1.Health/Check");
  });

  test("are not counted as connections of the mesh", async () => {
    const counts = await play.connections("mesh/http");
    expect([...counts].filter(([key, count]) => key !== "inbound refused-strict" && count > 0)).toEqual([]);
  });

  test("tell when the application fails, and when it is well again", async () => {
    const local = (path: string) => play.exec("mesh/http", "app", ["curl", "-sS", `http://127.0.0.1:8080${path}`]);
    const until = async (wanted: RegExp) => {
      const deadline = Date.now() + 20_000;
      for (let shown = ""; !wanted.test(shown); shown = (await play.tulle(["get", "pods", "-n", "mesh"])).stdout) {
        if (Date.now() > deadline) throw new Error(`never ${String(wanted)}:\n${shown}`);
        await Bun.sleep(100);
      }
    };
    expect((await fromNode(await play.ip("mesh/http", 4), 15020, "/probe/app/readyz")).stdout).toBe("ok\n");
    await local("/break");
    await until(/^(mesh\s+)?http\s+1\/2/m);
    const answer = await fromNode(await play.ip("mesh/http", 4), 15020, "/probe/app/readyz");
    expect(answer.stdout).toBe("the application answered 500\n");
    await local("/mend");
    await until(/^(mesh\s+)?http\s+2\/2/m);
  });

  test("can be triggered only where the pod declares them", async () => {
    const ip = await play.ip("mesh/tcp", 4);
    for (const path of ["/probe/app/livez", "/probe/other/readyz", "/lifecycle/app/prestop", "/probe/app/readyz/"]) {
      expect((await fromNode(ip, 15020, path)).stdout).toBe("not found\n");
    }
  });

  test("work in a manifest that was injected by hand", async () => {
    expect(await play.logs("mesh/byhand", "app")).toMatch(/^GET \/ready kube-probe/m);
    expect(RESET).toContain((await fromNode(await play.ip("mesh/byhand", 4), 8080)).code);
  });
});

describe("lifecycle handlers of a strict pod", () => {
  test("reach it, at its start and at its end", async () => {
    expect(await play.logs("mesh/hooks", "helper")).toMatch(/^GET \/started kube-lifecycle\//m);
    const following = play.spawn(["logs", "-f", "-n", "mesh", "hooks", "-c", "helper"]);
    const reader = following.stdout.getReader();
    let log = "";
    const read = async () => {
      const { value, done } = await reader.read();
      log += new TextDecoder().decode(value);
      return !done;
    };
    // What came before shows that it listens.
    await read();
    const deleted = await play.tulle(["delete", "pod", "hooks", "-n", "mesh"]);
    expect(deleted.code).toBe(0);
    while (await read());
    expect(log).toMatch(/^GET \/stopping kube-lifecycle\//m);
  });
});

/** What meshed pods have to do with pods outside the mesh, with themselves, and with the cluster's own services. */
import { describe, expect } from "bun:test";
import { type ClusterNamespace, command, eventually } from "../support/cluster.ts";
import { cleanUp, holds, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, podOf, SERVER_PORTS, server, service, url } from "../support/mesh-apps.ts";

/** How curl says that the connection was reset: at once, or while it waited for an answer. */
const RESET = /exit code (7|52|56)/;

let mesh: Mesh;
let strict: ClusterNamespace;
let loose: ClusterNamespace;
let plain: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  strict = await mesh.meshed("strict", "strict");
  loose = await mesh.meshed("loose", "permissive");
  plain = await mesh.namespace("plain");
  await strict.apply(podOf("server", server()), podOf("client", app(["idle"])), service("server"));
  await loose.apply(podOf("server", server()), service("server"));
  await plain.apply(podOf("server", server()), podOf("client", app(["idle"])), service("server"));
  await Promise.all([strict.ready(["server", "client"]), loose.ready(["server"]), plain.ready(["server", "client"])]);
});
cleanUp(async () => {
  for (const space of [strict, loose, plain]) await space?.[Symbol.asyncDispose]();
});

async function podIp(space: ClusterNamespace, pod: string, family: 4 | 6): Promise<string> {
  const ips = (await space.get(`pod/${pod}`, ".status.podIPs[*].ip")).split(" ");
  return ips.find((ip) => ip.includes(":") === (family === 6)) ?? "";
}

describe.each([4, 6] as const)("over IPv%d", (family) => {
  holds("5: a client without a sidecar is refused by a strict pod, on every port, and counted", async () => {
    const host = await podIp(strict, "server", family);
    for (const port of [SERVER_PORTS.http, SERVER_PORTS.banner, 12345]) {
      const marker = `refused-${crypto.randomUUID()}`;
      let status = 0;
      const grown = await mesh.growth(strict, "server", "inbound refused-strict", async () => {
        const tried = await plain.tryKubectl(["exec", "client", "--", ...curl(url(host, port), marker)]);
        status = tried.status ?? 0;
        expect(tried.stderr).toMatch(RESET);
      });
      expect(status).not.toBe(0);
      expect(grown).toBe(1);
    }
    expect(await strict.kubectl(["logs", "server", "-c", "tulle-proxy"])).toContain("refused-strict");
  });

  holdsInNode("the node, too, is refused by a strict pod", async () => {
    const host = await podIp(strict, "server", family);
    const tried = await command(mesh.node.command(...curl(url(host, SERVER_PORTS.http))));
    expect(tried.stderr).toMatch(/curl: \((7|52|56)\)/);
  });

  holds("a client without a sidecar is answered by a permissive pod, and counted", async () => {
    const host = await podIp(loose, "server", family);
    const grown = await mesh.growth(loose, "server", "inbound plaintext-permissive", async () => {
      expect(await plain.exec("client", ...curl(url(host, SERVER_PORTS.http), "hello"))).toStartWith("server ");
    });
    expect(grown).toBe(1);
  });

  holds("a permissive pod is reached by mTLS from within the mesh", async () => {
    const host = await podIp(loose, "server", family);
    const grown = await mesh.growth(loose, "server", "inbound mtls", async () => {
      expect(await strict.exec("client", ...curl(url(host, SERVER_PORTS.http), "hello"))).toStartWith("server ");
    });
    expect(grown).toBe(1);
  });

  holds(
    "a server without a sidecar is reached in plaintext, which is counted and can be read on the wire",
    async () => {
      const marker = `plain-${crypto.randomUUID()}`;
      const host = await podIp(plain, "server", family);
      const wire = await mesh.capture(async () => {
        const grown = await mesh.growth(strict, "client", "outbound plaintext-unmeshed", async () => {
          expect(await strict.exec("client", ...curl(url(host, SERVER_PORTS.http), marker))).toContain(marker);
        });
        expect(grown).toBe(1);
      });
      if (wire !== undefined) expect(wire.includes(marker)).toBe(true);
    },
  );

  holds("31: UDP passes beside the mesh", async () => {
    const host = await podIp(strict, "server", family);
    const script = `const socket = require("dgram").createSocket("udp${family}");
      socket.on("message", (data) => { console.log(String(data)); process.exit(0); });
      setInterval(() => socket.send("over udp", 5353, "${host}"), 200);
      setTimeout(() => process.exit(1), 10000);`;
    expect(await strict.exec("client", "bun", "-e", script)).toBe("over udp\n");
  });
});

holds("a Service of a namespace without the mesh is reached in plaintext, by name", async () => {
  const grown = await mesh.growth(strict, "client", "outbound plaintext-unmeshed", async () => {
    const target = url(`server.${plain.name}`);
    expect(await eventually(() => strict.exec("client", ...curl(target)))).toStartWith("server ");
  });
  expect(grown).toBeGreaterThan(0);
});

holds("10: a pod that calls its own Service is answered", async () => {
  for (const [space, ips] of await Promise.all(
    [strict, loose].map(async (one) => [one, await one.get("service/server", ".spec.clusterIPs[*]")] as const),
  )) {
    for (const ip of ips.split(" ")) {
      const answer = await eventually(() => space.exec("server", ...curl(url(ip), "to myself")));
      expect(answer).toStartWith("server ");
      expect(answer).toContain("to myself");
    }
  }
});

holds("the API server is reached as kubernetes.default, in its own TLS", async () => {
  const grown = await mesh.growth(strict, "client", "outbound plaintext-unmeshed", async () => {
    const script = `set -e; cd /var/run/secrets/kubernetes.io/serviceaccount
      curl -sS -m 10 --cacert ca.crt -H "authorization: Bearer $(cat token)" https://kubernetes.default.svc/version`;
    expect(await strict.exec("client", "sh", "-c", script)).toContain("gitVersion");
  });
  expect(grown).toBe(1);
});

holds("names resolve, those of the cluster and those that are not there", async () => {
  const found = await strict.exec("client", "getent", "ahostsv4", `server.${strict.name}.svc.cluster.local`);
  expect(found.split(" ")[0]).toBe((await strict.get("service/server", ".spec.clusterIPs[0]")) ?? "");
  const missing = await strict.tryKubectl(["exec", "client", "--", "getent", "hosts", "nowhere.invalid"]);
  expect(missing.status).not.toBe(0);
});

holds("53: a port that nobody serves is refused to the caller, as it is without the mesh", async () => {
  const host = await podIp(strict, "server", 4);
  const grown = await mesh.growth(strict, "client", "outbound failed-connect", async () => {
    const tried = await strict.tryKubectl(["exec", "client", "--", ...curl(url(host, 12345))]);
    expect(tried.stderr).toMatch(RESET);
  });
  expect(grown).toBe(1);
});

holds("91: what a server opened on loopback only stays out of reach", async () => {
  const host = await podIp(strict, "server", 4);
  // It speaks no HTTP: told so, curl would print what it says.
  const tried = await strict.tryKubectl(["exec", "client", "--", ...curl(url(host, 7070)), "--http0.9"]);
  expect(tried.status).not.toBe(0);
  expect(tried.stdout).not.toContain("loopback");
  expect(tried.stderr).toMatch(RESET);
});

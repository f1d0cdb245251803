/** Two meshed Deployments talk, however one names the other, and nothing of it can be read on the way. */
import { describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import { type ClusterNamespace, eventually } from "../support/cluster.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, deployment, podOf, SERVER_PORTS, server, service, url } from "../support/mesh-apps.ts";

let mesh: Mesh;
let space: ClusterNamespace;
let plain: ClusterNamespace;
let client = "";
let serving = "";
/** By family: the first is IPv4. */
let podIps: string[] = [];
let clusterIps: string[] = [];

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("pairs");
  plain = await mesh.namespace("pairs-plain");
  await space.apply(
    deployment("server", server()),
    deployment("client", app(["idle"])),
    service("server"),
    service("direct", { headless: true, app: "server" }),
  );
  await plain.apply(podOf("server", server()), podOf("client", app(["idle"])));
  await Promise.all([
    space.ready(["deployment/server", "deployment/client"], "condition=Available"),
    plain.ready(["server", "client"]),
  ]);
  client = await space.podOf("client");
  serving = await space.podOf("server");
  podIps = (await space.get(`pod/${serving}`, ".status.podIPs[*].ip")).split(" ");
  clusterIps = (await space.get("service/server", ".spec.clusterIPs[*]")).split(" ");
  for (const address of clusterIps) await eventually(() => space.exec(client, ...curl(url(address))));
});
cleanUp(async () => {
  await space?.[Symbol.asyncDispose]();
  await plain?.[Symbol.asyncDispose]();
});

/** One request: answered by the server's pod, counted as mTLS once at each end, its body nowhere on the node's wires. */
async function carriedByMtls(target: string): Promise<void> {
  const marker = `secret-${crypto.randomUUID()}`;
  let answer = "";
  const wire = await mesh.capture(async () => {
    const outbound = await mesh.growth(space, client, "outbound mtls", async () => {
      const inbound = await mesh.growth(space, serving, "inbound mtls", async () => {
        answer = await space.exec(client, ...curl(target, marker));
      });
      expect(inbound).toBe(1);
    });
    expect(outbound).toBe(1);
  });
  expect(answer).toStartWith(`${serving} `);
  expect(answer).toContain(marker);
  if (wire === undefined) return;
  expect(wire.length).toBeGreaterThan(1000);
  expect(wire.includes(marker)).toBe(false);
}

describe.each([4, 6] as const)("over IPv%d", (family) => {
  const index = family === 4 ? 0 : 1;

  holds("1: a Service's cluster IP is reached by mTLS", () => carriedByMtls(url(clusterIps[index] ?? "")));

  holds("2: a pod's IP is reached by mTLS", () => carriedByMtls(url(podIps[index] ?? "", SERVER_PORTS.http)));

  holds("60, 71: a server that speaks first, and one that answers after the end, are reached by mTLS", async () => {
    const host = podIps[index] ?? "";
    const body = "x".repeat(300_000);
    const sum = createHash("sha256").update(body).digest("hex");
    const grown = await mesh.growth(
      space,
      client,
      "outbound mtls",
      async () => {
        // curl's telnet would wait for a terminal: bash's own TCP does, of whichever family the address is.
        const talk = (port: number, script: string) =>
          space.exec(client, "bash", "-c", `exec 3<>/dev/tcp/${host}/${port}; ${script}`);
        expect(await talk(SERVER_PORTS.banner, "head -n 1 <&3")).toBe("220 banner ready\r\n");
        const half = `const c = require("net").connect({ host: "${host}", port: ${SERVER_PORTS.hash}, allowHalfOpen: true });
          c.end("x".repeat(300000)); c.pipe(process.stdout);`;
        expect(await space.exec(client, "bun", "-e", half)).toBe(`${body.length} ${sum}\n`);
      },
      2,
    );
    expect(grown).toBe(2);
  });

  holds("34: a marker without the mesh is on the wire: the capture would have shown it", async () => {
    const marker = `seen-${crypto.randomUUID()}`;
    const host = (await plain.get("pod/server", ".status.podIPs[*].ip")).split(" ")[index] ?? "";
    const wire = await mesh.capture(async () => {
      expect(await plain.exec("client", ...curl(url(host, SERVER_PORTS.http), marker))).toContain(marker);
    });
    if (wire !== undefined) expect(wire.includes(marker)).toBe(true);
  });
});

holds("1: a Service's name, short and whole, is reached by mTLS", async () => {
  for (const host of ["server", `server.${space.name}.svc.cluster.local`]) await carriedByMtls(url(host));
});

holds("3: a headless Service's name is reached by mTLS", () => carriedByMtls(url("direct", SERVER_PORTS.http)));

holds("each end knows the other by its service account's SPIFFE ID", async () => {
  const shown = await space.kubectl(["logs", serving, "-c", "tulle-proxy"]);
  expect(shown).toContain(`spiffe://cluster.local/ns/${space.name}/sa/default`);
});

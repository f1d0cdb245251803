/** Pods, Services and names of the cluster, in both address families. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ClusterNamespace, eventually, LocalCluster, pod, run, SHELL } from "../../support/cluster.ts";

const HELLO = "hello from server\n";
const cluster = await LocalCluster.find();
const { node } = cluster;

let space: ClusterNamespace;
let pods: string[];
let services: string[];

function curl(host: string, port = 80): string[] {
  return ["curl", "-sS", "-m", "5", `http://${host.includes(":") ? `[${host}]` : host}:${port}/`];
}
function fromClient(...argv: readonly string[]): Promise<string> {
  return space.exec("client", ...argv);
}

beforeAll(async () => {
  space = await cluster.namespace("network");
  const httpd = {
    name: "httpd",
    image: "busybox:local",
    command: ["sh", "-c", "echo hello from $HOSTNAME >/www/index.html; exec httpd -f -p 8080 -h /www"],
    readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
  };
  await space.apply(pod("server", { containers: [httpd] }, { app: "server" }), pod("client", { containers: [SHELL] }), {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web" },
    spec: {
      type: "NodePort",
      ipFamilyPolicy: "PreferDualStack",
      selector: { app: "server" },
      ports: [{ port: 80, targetPort: 8080 }],
    },
  });
  await space.ready(["server", "client"]);
  pods = (await space.get("pod/server", ".status.podIPs[*].ip")).split(" ");
  services = (await space.get("service/web", ".spec.clusterIPs[*]")).split(" ");
  // kube-proxy learns of the endpoints a moment after the pod is ready.
  for (const address of services) await eventually(() => fromClient(...curl(address)));
});
afterAll(() => space?.[Symbol.asyncDispose]());

test("pods and Services have an address of each family", () => {
  expect(pods.map((address) => address.includes(":"))).toEqual([false, true]);
  expect(services.map((address) => address.includes(":"))).toEqual([false, true]);
});

test("a pod reaches another by its addresses", async () => {
  for (const address of pods) expect(await fromClient(...curl(address, 8080))).toBe(HELLO);
});

test("a pod reaches a Service by its addresses and names", async () => {
  const names = ["web", `web.${space.name}`, `web.${space.name}.svc.cluster.local`];
  for (const host of [...services, ...names]) expect(await fromClient(...curl(host))).toBe(HELLO);
});

test("a pod reaches itself through its own Service", async () => {
  for (const address of services) {
    const url = `http://${address.includes(":") ? `[${address}]` : address}/`;
    expect(await space.exec("server", "timeout", "5", "wget", "-qO-", url)).toBe(HELLO);
  }
});

test("a Service's name resolves to its addresses, of either family", async () => {
  expect(await fromClient("getent", "ahostsv4", "web")).toStartWith(`${services[0]} `);
  expect(await fromClient("getent", "ahostsv6", "web")).toStartWith(`${services[1]} `);
});

describe("beside this machine", () => {
  test("the machine reaches pods, Services and node ports", async () => {
    for (const address of pods) expect(await run(curl(address, 8080))).toBe(HELLO);
    for (const address of services) expect(await run(curl(address))).toBe(HELLO);
    const port = Number(await space.get("service/web", ".spec.ports[0].nodePort"));
    for (const address of [node.address.ipv4, node.address.ipv6]) {
      expect(await run(curl(address, port))).toBe(HELLO);
    }
  });

  test("a pod reaches the machine under the name host.internal", async () => {
    using server = Bun.serve({ port: 0, hostname: "::", fetch: () => new Response("hello from the machine") });
    for (const address of [node.host.ipv4, node.host.ipv6, "host.internal"]) {
      expect(await fromClient(...curl(address, server.port))).toBe("hello from the machine");
    }
  });

  test("nothing else outside has a name or an address", async () => {
    const named = await space.tryKubectl(["exec", "client", "--", ...curl("example.com")]);
    expect(named.stderr).toContain("Could not resolve host");
    const addressed = await space.tryKubectl(["exec", "client", "--", "ping", "-c1", "-W2", "192.0.2.1"]);
    expect(addressed.stdout).toContain("Unreachable");
  });
});

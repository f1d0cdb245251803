import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Address, Ip, MeshService, Workload } from "../../mesh/index.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../../testkit/mesh-records.ts";
import { ASKABLE, meshChange, SmallMesh } from "../../testkit/small-mesh.ts";
import { addressFromWire } from "../../wire/index.ts";
import type { Catalog } from "./catalog.ts";

const WEB = "shop/web.shop.svc.cluster.local";

function decoded(catalog: Catalog, name: string): Address[] {
  return catalog.lookUp(name).map((entry) => addressFromWire(entry.bytes));
}

function workloadAt(catalog: Catalog, name: string): Workload {
  const [address, ...more] = decoded(catalog, name);
  if (address?.kind !== "workload" || more.length > 0) throw new Error(`not one workload at ${name}`);
  return address.workload;
}

function serviceAt(catalog: Catalog, name: string): MeshService {
  const [address] = decoded(catalog, name);
  if (address?.kind !== "service") throw new Error(`no service at ${name}`);
  return address.service;
}

function names(catalog: Catalog, name: string): string[] {
  return catalog
    .lookUp(name)
    .map((entry) => entry.name)
    .sort();
}

/** Two pods behind a service. */
function shop() {
  const mesh = new SmallMesh();
  const [a, b] = [podRecord("a", "10.244.0.1"), podRecord("b", "10.244.0.2")];
  mesh.pods.set("shop/a", a);
  mesh.pods.set("shop/b", b);
  mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1"));
  mesh.endpoints.set("shop/web", endpointsRecord("web", [a, b]));
  return { mesh, a, b, catalog: mesh.catalog() };
}

/** What the catalog tells of one turn of the event loop. */
async function told(catalog: Catalog, change: () => void): Promise<string[][]> {
  const turns: string[][] = [];
  using _following = catalog.follow((changed) => turns.push([...changed].sort()));
  change();
  await Promise.resolve();
  await Promise.resolve();
  return turns;
}

describe("a pod", () => {
  test("is a workload with its tunnel, its addresses and the services that it serves", () => {
    const { catalog } = shop();
    expect(workloadAt(catalog, "/10.244.0.1")).toEqual({
      uid: "uid-a",
      name: "a",
      namespace: "shop",
      serviceAccount: "a",
      trustDomain: "cluster.local",
      ips: ["10.244.0.1" as Ip],
      node: "node-1",
      tunnel: "hbone",
      healthy: true,
      services: { [WEB]: [{ servicePort: 80, targetPort: 8080 }] },
      authorizationPolicies: [],
    });
    expect(names(catalog, "uid-a")).toEqual(["uid-a"]);
  });

  test("of two families is found at both addresses", () => {
    const mesh = new SmallMesh();
    mesh.pods.set("shop/a", podRecord("a", "", { ips: ["10.244.0.1", "fd00::1"] as Ip[] }));
    const catalog = mesh.catalog();
    expect(workloadAt(catalog, "/10.244.0.1")).toEqual(workloadAt(catalog, "/fd00::1"));
  });

  test("without an address, and one that has ended, is nowhere", () => {
    const mesh = new SmallMesh();
    mesh.pods.set("shop/a", podRecord("a", "", { ips: [] }));
    mesh.pods.set("shop/b", podRecord("b", "10.244.0.2", { finished: true }));
    const catalog = mesh.catalog();
    expect([catalog.size, names(catalog, "/10.244.0.2")]).toEqual([0, []]);
  });

  test("has no tunnel without a sidecar, and none in its node's network", () => {
    const mesh = new SmallMesh();
    mesh.pods.set("shop/a", podRecord("a", "10.244.0.1", { meshed: false }));
    mesh.pods.set("shop/b", podRecord("b", "192.168.0.1", { hostNetwork: true }));
    const catalog = mesh.catalog();
    expect(workloadAt(catalog, "/10.244.0.1").tunnel).toBe("none");
    expect(workloadAt(catalog, "/192.168.0.1").tunnel).toBe("none");
  });

  test("in its node's network shares the address with its neighbours", async () => {
    const mesh = new SmallMesh();
    const host = (name: string) => podRecord(name, "192.168.0.1", { hostNetwork: true });
    mesh.pods.set("shop/a", host("a"));
    mesh.pods.set("shop/b", host("b"));
    const catalog = mesh.catalog();
    expect(names(catalog, "/192.168.0.1")).toEqual(["uid-a", "uid-b"]);
    await told(catalog, () => mesh.pods.delete("shop/a"));
    expect(names(catalog, "/192.168.0.1")).toEqual(["uid-b"]);
  });

  test.each([
    ["ready", { ready: true }, false, true],
    ["not ready", { ready: false }, false, false],
    ["not ready, of a service that publishes such addresses", { ready: false }, true, true],
    ["being stopped", { terminating: true }, false, false],
    ["being stopped, though endpoints still say ready", { terminating: true }, true, false],
  ])("takes new connections or not: %s", (_what, changes, ready, healthy) => {
    const { mesh, a } = shop();
    mesh.pods.set("shop/a", { ...a, ...changes });
    const endpoint = { ip: "10.244.0.1" as Ip, podUid: "uid-a", ready, ports: [{ name: "http", port: 8080 }] };
    mesh.endpoints.set("shop/web", endpointsRecord("web", [], { endpoints: [endpoint] }));
    expect(workloadAt(mesh.catalog(), "uid-a").healthy).toBe(healthy);
  });

  test("passes its address on to a new pod within one turn", async () => {
    const { mesh, a, catalog } = shop();
    const turns = await told(catalog, () => {
      mesh.pods.set("shop/a", { ...a, finished: true });
      mesh.pods.set("shop/new", podRecord("new", "10.244.0.1"));
    });
    expect(turns).toEqual([["uid-a", "uid-new"]]);
    expect(names(catalog, "/10.244.0.1")).toEqual(["uid-new"]);
  });

  test("that takes the name of another is another", async () => {
    const { mesh, a, catalog } = shop();
    const turns = await told(catalog, () => mesh.pods.set("shop/a", { ...a, uid: "uid-second" }));
    expect(turns).toEqual([["uid-a", "uid-second"]]);
    expect(names(catalog, "/10.244.0.1")).toEqual(["uid-second"]);
  });
});

describe("a service", () => {
  test("is found at its address and by name, with the workloads behind it", () => {
    const { catalog } = shop();
    expect(serviceAt(catalog, "/10.96.0.1")).toEqual({
      name: "web",
      namespace: "shop",
      hostname: "web.shop.svc.cluster.local",
      vips: ["10.96.0.1" as Ip],
      ports: [{ servicePort: 80, targetPort: 8080 }],
    });
    expect(names(catalog, "/10.96.0.1")).toEqual([WEB, "uid-a", "uid-b"]);
    expect(names(catalog, WEB)).toEqual([WEB, "uid-a", "uid-b"]);
  });

  test("without an address is found by name alone", () => {
    const { mesh } = shop();
    mesh.services.set("shop/web", serviceRecord("web", "", { clusterIps: [] }));
    const catalog = mesh.catalog();
    expect(serviceAt(catalog, WEB).vips).toEqual([]);
    expect(names(catalog, WEB)).toEqual([WEB, "uid-a", "uid-b"]);
  });

  test("of two families is found at both addresses", () => {
    const { mesh } = shop();
    mesh.services.set("shop/web", serviceRecord("web", "", { clusterIps: ["10.96.0.1", "fd00:96::1"] as Ip[] }));
    const catalog = mesh.catalog();
    expect(names(catalog, "/fd00:96::1")).toEqual(names(catalog, "/10.96.0.1"));
  });

  test("leaves out what is not TCP", () => {
    const { mesh } = shop();
    const ports = [
      { name: "dns", port: 53, protocol: "UDP" as const },
      { name: "http", port: 80, protocol: "TCP" as const },
    ];
    mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1", { ports }));
    const catalog = mesh.catalog();
    expect(serviceAt(catalog, WEB).ports.map((port) => port.servicePort)).toEqual([80]);
    expect(workloadAt(catalog, "uid-a").services[WEB]).toHaveLength(1);
  });

  test("names no target port where its endpoints differ, in whatever order they come", () => {
    const { mesh, a, b } = shop();
    const [first, second] = endpointsRecord("web", [a, b]).endpoints;
    if (first === undefined || second === undefined) throw new Error("two endpoints");
    const other = { ...second, ports: [{ name: "http", port: 9090 }] };
    const versions = [
      [first, other],
      [other, first],
    ].map((endpoints) => {
      mesh.endpoints.set("shop/web", endpointsRecord("web", [], { endpoints }));
      const catalog = mesh.catalog();
      expect(serviceAt(catalog, WEB).ports).toEqual([{ servicePort: 80, targetPort: 0 }]);
      return catalog.get(WEB)?.version;
    });
    expect(versions[0]).toBe(versions[1] as string);
  });

  test("loses an endpoint that is not ready, and it loses the service", async () => {
    const { mesh, a, b, catalog } = shop();
    const [one, two] = endpointsRecord("web", [a, b]).endpoints;
    if (one === undefined || two === undefined) throw new Error("two endpoints");
    const turns = await told(catalog, () =>
      mesh.endpoints.set("shop/web", endpointsRecord("web", [], { endpoints: [{ ...one, ready: false }, two] })),
    );
    expect(turns).toEqual([["uid-a"]]);
    expect(names(catalog, "/10.96.0.1")).toEqual([WEB, "uid-b"]);
  });

  test("takes its workloads' memberships with it when it goes", async () => {
    const { mesh, catalog } = shop();
    const turns = await told(catalog, () => mesh.services.delete("shop/web"));
    expect(turns).toEqual([[WEB, "uid-a", "uid-b"]]);
    expect(workloadAt(catalog, "uid-a").services).toEqual({});
  });
});

describe("an endpoint without a pod", () => {
  const endpoint = { ip: "192.168.7.7" as Ip, podUid: undefined, ready: true, ports: [{ name: "http", port: 8080 }] };

  test("is a workload without a tunnel", () => {
    const { mesh } = shop();
    mesh.endpoints.set("shop/web", endpointsRecord("web", [], { endpoints: [endpoint] }));
    const workload = workloadAt(mesh.catalog(), "/192.168.7.7");
    expect(workload).toMatchObject({ uid: "endpoint/192.168.7.7", tunnel: "none", healthy: true });
    expect(Object.keys(workload.services)).toEqual([WEB]);
  });

  test("yields to a pod that has its address, and comes back after it", async () => {
    const { mesh } = shop();
    mesh.endpoints.set("shop/web", endpointsRecord("web", [], { endpoints: [endpoint] }));
    const catalog = mesh.catalog();
    await told(catalog, () => mesh.pods.set("shop/c", podRecord("c", "192.168.7.7")));
    expect(names(catalog, "/192.168.7.7")).toEqual(["uid-c"]);
    await told(catalog, () => mesh.pods.delete("shop/c"));
    expect(names(catalog, "/192.168.7.7")).toEqual(["endpoint/192.168.7.7"]);
  });

  test("of two services is one workload, and goes with the last", async () => {
    const { mesh } = shop();
    for (const name of ["web", "api"]) {
      mesh.services.set(`shop/${name}`, serviceRecord(name, "", { clusterIps: [] }));
      mesh.endpoints.set(`shop/${name}`, endpointsRecord(name, [], { endpoints: [endpoint] }));
    }
    const catalog = mesh.catalog();
    expect(Object.keys(workloadAt(catalog, "/192.168.7.7").services)).toHaveLength(2);
    // Named after the first of them by name, in whatever order they came.
    expect(workloadAt(catalog, "/192.168.7.7").name).toBe("api");
    await told(catalog, () => mesh.endpoints.delete("shop/web"));
    expect(Object.keys(workloadAt(catalog, "/192.168.7.7").services)).toHaveLength(1);
    await told(catalog, () => mesh.endpoints.delete("shop/api"));
    expect(names(catalog, "/192.168.7.7")).toEqual([]);
  });
});

describe("the catalog", () => {
  test("tells nothing of a change that changes nothing", async () => {
    const { mesh, a, b, catalog } = shop();
    const turns = await told(catalog, () => {
      mesh.pods.set("shop/a", { ...a, labels: { app: "a" } });
      mesh.services.set("shop/web", serviceRecord("web", "10.96.0.1"));
      mesh.endpoints.set("shop/web", endpointsRecord("web", [b, a]));
    });
    expect(turns).toEqual([]);
  });

  test("tells one turn's changes at once, and none that were undone", async () => {
    const { mesh, a, catalog } = shop();
    const turns = await told(catalog, () => {
      mesh.pods.set("shop/a", { ...a, ready: false, node: "node-2" });
      mesh.pods.delete("shop/b");
      mesh.pods.set("shop/c", podRecord("c", "10.244.0.3"));
      mesh.pods.delete("shop/c");
    });
    expect(turns).toEqual([["uid-a", "uid-b"]]);
  });

  test("gives the same content the same version on every replica", () => {
    const versions = () => [...shop().catalog.all()].map((entry) => [entry.name, entry.version]);
    expect(versions()).toEqual(versions());
    expect(new Set(versions().map(([, version]) => version)).size).toBe(3);
  });

  test("follows nobody when disposed", async () => {
    const { mesh, catalog } = shop();
    const turns = await told(catalog, () => {
      catalog[Symbol.dispose]();
      mesh.pods.delete("shop/a");
    });
    expect(turns).toEqual([]);
    expect(names(catalog, "/10.244.0.1")).toEqual(["uid-a"]);
  });

  test("equals one built from scratch, after any changes in any turns", async () => {
    const turns = fc.array(fc.array(meshChange, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(turns, async (all) => {
        const mesh = new SmallMesh();
        using catalog = mesh.catalog();
        const mirror = new Map<string, string>();
        catalog.follow((changed) => {
          for (const name of changed) {
            const entry = catalog.get(name);
            // Told of nothing that is as it was.
            expect(mirror.get(name)).not.toBe(entry?.version as string);
            if (entry === undefined) mirror.delete(name);
            else mirror.set(name, entry.version);
          }
        });
        for (const changes of all) {
          for (const change of changes) change(mesh);
          await Promise.resolve();
        }
        await Promise.resolve();
        using fresh = mesh.catalog();
        const versions = (one: Catalog) => new Map([...one.all()].map((entry) => [entry.name, entry.version]));
        expect(versions(catalog)).toEqual(versions(fresh));
        expect(mirror).toEqual(versions(fresh));
        for (const name of ASKABLE) expect(names(catalog, name)).toEqual(names(fresh, name));
      }),
      { numRuns: 300 },
    );
  });
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { KubeClient } from "../../kube/index.ts";
import { MemoryStore, type PodRecord } from "../../mesh/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { podRecord } from "../../testkit/mesh-records.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { until } from "../../testkit/until.ts";
import { LiveRanges, meshRanges } from "./ranges.ts";
import { ClusterSources } from "./sources.ts";

const PODS = "/api/v1/pods";
const NAMESPACES = "/api/v1/namespaces";
const SLICES = "/apis/discovery.k8s.io/v1/endpointslices";
const SERVICES = "/api/v1/services";

let server: FakeApiServer;
let sources: ClusterSources;
let client: KubeClient;

beforeEach(async () => {
  server = await FakeApiServer.start();
  const clock = new FakeClock();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
  sources = new ClusterSources({
    client,
    mode: "permissive",
    clock,
    random: new SeededRandom(),
    logger: new MemoryLogger(),
  });
  await sources.synced;
});
afterEach(async () => {
  sources[Symbol.dispose]();
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const sidecar = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] };
const pod = (name: string, spec: object = {}, metadata: object = {}, status: object = {}) =>
  server.storage.create(PODS, "shop", {
    metadata: { name, ...metadata },
    spec: { serviceAccountName: "web", nodeName: "n1", ...spec },
    status: { podIPs: [{ ip: "10.0.0.5" }, { ip: "FD00::5" }], ...status },
  } as never);

describe("pods", () => {
  test("become records: canonical addresses, sidecar by spec, readiness by condition", async () => {
    pod("web", sidecar, { labels: { a: "b" } }, { conditions: [{ type: "Ready", status: "True" }] });
    await until(() => sources.pods.get("shop/web") !== undefined, "the pod");
    expect(sources.pods.get("shop/web")).toMatchObject({
      namespace: "shop",
      name: "web",
      serviceAccount: "web",
      ips: ["10.0.0.5", "fd00::5"] as never,
      node: "n1",
      labels: { a: "b" },
      meshed: true,
      ready: true,
      terminating: false,
      finished: false,
      mode: "permissive",
    });
  });

  test("are not meshed by a label, an annotation, or a sidecar that is an ordinary init container", async () => {
    pod(
      "liar",
      { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy" }] },
      {
        labels: { "tulle.dev/inject": "enabled" },
        annotations: { "tulle.dev/injected": "1.0" },
      },
    );
    await until(() => sources.pods.get("shop/liar") !== undefined, "the pod");
    expect(sources.pods.get("shop/liar")?.meshed).toBe(false);
  });

  test("follow their namespace's mode, which they may only tighten", async () => {
    pod("soft", sidecar);
    pod("hard", sidecar, { annotations: { "tulle.dev/mode": "strict" } });
    pod("loose", sidecar, { annotations: { "tulle.dev/mode": "permissive" } });
    const modes = () => ["soft", "hard", "loose"].map((name) => sources.pods.get(`shop/${name}`)?.mode).join();
    await until(() => modes() === "permissive,strict,permissive", "the mesh's mode");
    server.storage.create(NAMESPACES, undefined, {
      metadata: { name: "shop", labels: { "tulle.dev/mode": "strict" } },
    });
    await until(() => modes() === "strict,strict,strict", "the namespace's mode");
    server.storage.update(NAMESPACES, undefined, "shop", { metadata: { name: "shop" } });
    await until(() => modes() === "permissive,strict,permissive", "the mesh's mode again");
  });

  test("that only changed what the mesh does not care for change no record", async () => {
    pod("web", sidecar);
    await until(() => sources.pods.get("shop/web") !== undefined, "the pod");
    const changes: unknown[] = [];
    sources.pods.follow((change) => changes.push(change));
    const before = server.storage.get(PODS, "shop", "web");
    server.storage.update(PODS, "shop", "web", {
      ...before,
      status: { ...(before as never as { status: object }).status, startTime: "now" },
    } as never);
    pod("marker");
    await until(() => sources.pods.get("shop/marker") !== undefined, "a later change");
    expect(changes).toHaveLength(1);
  });

  test("that are gone leave nothing", async () => {
    pod("web", sidecar);
    await until(() => sources.pods.get("shop/web") !== undefined, "the pod");
    server.storage.delete(PODS, "shop", "web");
    await until(() => sources.pods.get("shop/web") === undefined, "its end");
    expect([...sources.podFacts.keys()]).toEqual([]);
  });
});

describe("endpoints", () => {
  const slice = (name: string, ip: string, service = "web", more: object = {}) => ({
    metadata: { name, labels: { "kubernetes.io/service-name": service } },
    addressType: ip.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [ip], conditions: { ready: true }, targetRef: { kind: "Pod", uid: "u1" }, ...more }],
    ports: [{ name: "http", port: 8080 }],
  });
  const ips = () => (sources.endpoints.get("shop/web")?.endpoints ?? []).map((one) => `${one.ip}`).sort();

  test("of all slices of a Service are one record, and a slice that goes takes its own alone", async () => {
    server.storage.create(SLICES, "shop", slice("a", "10.0.0.5") as never);
    server.storage.create(SLICES, "shop", slice("b", "fd00::5") as never);
    await until(() => ips().join() === "10.0.0.5,fd00::5", "both slices");
    server.storage.delete(SLICES, "shop", "a");
    await until(() => ips().join() === "fd00::5", "the first one's end");
    server.storage.delete(SLICES, "shop", "b");
    await until(() => sources.endpoints.get("shop/web") === undefined, "nothing");
  });

  test("move with a slice that changes its Service", async () => {
    server.storage.create(SLICES, "shop", slice("a", "10.0.0.5") as never);
    await until(() => ips().length === 1, "the slice");
    server.storage.update(SLICES, "shop", "a", slice("a", "10.0.0.5", "other") as never);
    await until(() => sources.endpoints.get("shop/other") !== undefined, "the other Service");
    expect(sources.endpoints.get("shop/web")).toBeUndefined();
  });

  test("without readiness count as ready, without a pod as nobody's (discovery/v1)", async () => {
    server.storage.create(
      SLICES,
      "shop",
      slice("a", "10.0.0.5", "web", { conditions: {}, targetRef: undefined }) as never,
    );
    await until(() => ips().length === 1, "the slice");
    expect(sources.endpoints.get("shop/web")?.endpoints[0]).toMatchObject({ ready: true, podUid: undefined });
  });
});

describe("ranges", () => {
  const service = (name: string, clusterIPs: string[]) =>
    server.storage.create(SERVICES, "shop", { metadata: { name }, spec: { clusterIPs, ports: [] } } as never);

  test("are what nodes and flags say; a pod outside of them is added alone", async () => {
    server.storage.create("/api/v1/nodes", undefined, {
      metadata: { name: "n1" },
      spec: { podCIDRs: ["10.0.0.0/24"] },
    } as never);
    pod("inside");
    pod("outside", {}, {}, { podIPs: [{ ip: "172.20.0.9" }] });
    pod("host", { hostNetwork: true }, {}, { podIPs: [{ ip: "192.168.1.1" }] });
    service("web", ["10.96.0.7"]);
    service("none", ["None"]);
    await until(
      () => sources.services.get("shop/none") !== undefined && sources.pods.get("shop/host") !== undefined,
      "all",
    );
    expect(meshRanges(sources, { pods: [], services: [] })).toEqual({
      podRanges: ["10.0.0.0/24", "172.20.0.9/32", "fd00::5/128"],
      serviceRanges: ["10.96.0.7/32"],
    });
    expect(meshRanges(sources, { pods: ["10.0.0.0/8"], services: ["10.96.0.0/12"] })).toEqual({
      podRanges: ["10.0.0.0/8"],
      serviceRanges: ["10.96.0.0/12"],
    });
  });

  test("are worked out once a second, and told when they are others", () => {
    const clock = new FakeClock();
    const [nodeCidrs, pods, services] = [
      new MemoryStore<readonly string[]>(),
      new MemoryStore<PodRecord>(),
      sources.services,
    ];
    nodeCidrs.set("n1", ["10.0.0.0/24"]);
    let told = 0;
    using live = new LiveRanges({ nodeCidrs, pods, services }, { pods: [], services: [] }, clock, () => {
      told++;
    });
    expect(live.current.podRanges).toEqual(["10.0.0.0/24"]);
    const before = live.current;
    nodeCidrs.set("n2", ["10.0.1.0/24"]);
    pods.set("shop/web", podRecord("web", "172.20.0.9"));
    expect(live.current).toBe(before);
    clock.advance(1_000);
    expect(live.current.podRanges).toEqual(["10.0.0.0/24", "10.0.1.0/24", "172.20.0.9/32"]);
    pods.set("shop/web", podRecord("web", "172.20.0.9", { ready: false }));
    clock.advance(10_000);
    expect(told).toBe(1);
  });
});

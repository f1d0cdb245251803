import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EventRecorder, KubeClient } from "../../kube/index.ts";
import { MemoryStore } from "../../mesh/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { type NamespaceRecord, type PodFacts, podFacts } from "../sources/convert.ts";
import { UnmeshedReconciler } from "./unmeshed.ts";

const PODS = "/api/v1/pods";
let server: FakeApiServer;
let client: KubeClient;
let clock: FakeClock;
let events: EventRecorder;
let reconciler: UnmeshedReconciler;
let facts: MemoryStore<PodFacts>;
let namespaces: MemoryStore<NamespaceRecord>;
let webhookWorks = true;

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
  facts = new MemoryStore();
  namespaces = new MemoryStore();
  namespaces.set("shop", { labels: { "tulle.dev/inject": "enabled" }, labelWrittenAt: undefined });
  webhookWorks = true;
  server.intercept = (request) =>
    request.path.endsWith("/eviction") ? { status: 201, body: { kind: "Status", status: "Success" } } : undefined;
});
afterEach(async () => {
  reconciler[Symbol.dispose]();
  events[Symbol.dispose]();
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

function start(evict: boolean): void {
  const shared = { client, clock, logger: new MemoryLogger() };
  events = new EventRecorder({
    ...shared,
    random: new SeededRandom(),
    controller: "tulle.dev/operator",
    instance: "op",
  });
  reconciler = new UnmeshedReconciler({
    ...shared,
    sources: { podFacts: facts, namespaces },
    namespace: "tulle-system",
    evict,
    webhookWorks: () => webhookWorks,
    events,
  });
}
function add(name: string, spec: object = {}, controlled = true): void {
  const pod = server.storage.create(PODS, "shop", {
    metadata: {
      name,
      ...(controlled ? { ownerReferences: [{ kind: "ReplicaSet", name: "rs", controller: true }] } : {}),
    },
    spec: { containers: [{ name: "app", image: "x" }], ...spec },
  } as never);
  facts.set(`shop/${name}`, podFacts(pod as never));
}
const evictions = () => server.requests.filter((one) => one.path.endsWith("/eviction")).map((one) => one.path);
/** One look, `seconds` after the one before. */
function look(seconds = 10): Promise<void> {
  clock.advance(seconds * 1000);
  return reconciler.look();
}

describe("a pod that should be meshed and is not", () => {
  test("is counted and told once it has had 5 s; a meshed, a finished or an opted-out one is not", async () => {
    add("bare");
    add("meshed", { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] });
    add("host", { hostNetwork: true });
    add("windows", { nodeSelector: { "kubernetes.io/os": "windows" } });
    start(false);
    await look(0);
    expect(reconciler.unmeshed).toEqual([]);
    await look();
    expect(reconciler.unmeshed.map((pod) => pod.name)).toEqual(["bare"]);
    await events.flush();
    const [event] = server.requests.filter((one) => one.method === "POST" && one.path.endsWith("/events"));
    expect(event?.body).toMatchObject({
      reason: "NotMeshed",
      type: "Warning",
      regarding: { kind: "Pod", name: "bare" },
    });
    expect(evictions()).toEqual([]);
  });

  test("is told with the reason and the command that helps", async () => {
    const labelWrittenAt = clock.now();
    namespaces.set("shop", { labels: { "tulle.dev/inject": "enabled" }, labelWrittenAt });
    const made = { creationTimestamp: new Date(labelWrittenAt - 1000).toISOString() };
    const pod = server.storage.create(PODS, "shop", {
      metadata: {
        name: "web-5d4-abc",
        ...made,
        labels: { "pod-template-hash": "5d4" },
        ownerReferences: [{ kind: "ReplicaSet", name: "web-5d4", controller: true }],
      },
      spec: { containers: [{ name: "app", image: "x" }] },
    } as never);
    facts.set("shop/web-5d4-abc", podFacts(pod as never));
    start(false);
    await look(0);
    await look();
    await events.flush();
    const [event] = server.requests.filter((one) => one.method === "POST" && one.path.endsWith("/events"));
    expect(event?.body).toMatchObject({
      note:
        "the pod should be meshed and is not: made before namespace shop was labelled; " +
        "kubectl rollout restart -n shop deployment/web",
    });
  });

  test("is evicted where that is allowed, one a look, and never a bare pod", async () => {
    add("one");
    add("two");
    add("bare", {}, false);
    start(true);
    await look(0);
    expect(evictions()).toEqual([]);
    await look();
    expect(evictions()).toHaveLength(1);
    expect(evictions()[0]).toContain("/pods/one/eviction");
    facts.delete("shop/one");
    await look();
    expect(evictions()[1]).toContain("/pods/two/eviction");
    facts.delete("shop/two");
    await look();
    expect(evictions()).toHaveLength(2);
  });

  test("is not evicted any more by one that was told to stop in the middle of a look", async () => {
    add("one");
    start(true);
    await look(0);
    const { intercept } = server;
    server.intercept = (request) => {
      if (request.path.endsWith("/pods/one")) reconciler[Symbol.dispose]();
      return intercept?.(request);
    };
    await look();
    expect(evictions()).toEqual([]);
  });

  test("is not evicted while the webhook would not inject its successor, nor when it cannot be injected", async () => {
    webhookWorks = false;
    add("one");
    start(true);
    await look(0);
    await look();
    expect(evictions()).toEqual([]);
    webhookWorks = true;
    facts.delete("shop/one");
    add("odd", { containers: [{ name: "app", image: "x", securityContext: { runAsUser: 1337 } }] });
    await look();
    await look();
    expect(evictions()).toEqual([]);
    await events.flush();
    const notes = server.requests.filter((one) => one.path.endsWith("/events")).map((one) => JSON.stringify(one.body));
    expect(notes.some((note) => note.includes("cannot be meshed: container app runs as user 1337"))).toBe(true);
  });
});

import { afterEach, beforeEach, expect, test } from "bun:test";
import { MemoryStore, type StoreChange } from "../mesh/index.ts";
import { FakeApiServer } from "../testkit/fake-api-server.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { requestsInFlight, settled } from "../testkit/requests-in-flight.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { until } from "../testkit/until.ts";
import { KubeClient } from "./client.ts";
import type { KubeObject } from "./object.ts";
import { Reflector, type ReflectorOptions } from "./reflector.ts";
import { resource } from "./resource.ts";

interface Pod extends KubeObject {
  readonly spec?: { readonly node: string };
}
const PODS = resource<Pod>("v1", "Pod", "pods");
const KIND = "/api/v1/pods";

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;
let inFlight: () => number;
let logger: MemoryLogger;
let store: MemoryStore<string>;
let changes: StoreChange<string>[];
let reflector: Reflector<Pod, string>;

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
  inFlight = requestsInFlight(client);
  logger = new MemoryLogger();
  store = new MemoryStore();
  changes = [];
  store.follow((change) => changes.push(change));
});

afterEach(async () => {
  reflector[Symbol.dispose]();
  await reflector.ended;
  expect(clock.pending).toBe(0);
  await until(() => server.watching === 0, "no watch is left");
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

function start(options: Partial<ReflectorOptions<Pod, string>> = {}): void {
  reflector = new Reflector({
    client,
    resource: PODS,
    keep: (pod) => pod.spec?.node,
    sink: store,
    clock,
    random: new SeededRandom(),
    logger,
    ...options,
  });
}

const pod = (name: string, node = "n1"): Pod => ({ metadata: { name }, spec: { node } });
const create = (name: string, node?: string) => server.storage.create(KIND, "demo", pod(name, node));
const replace = (name: string, node: string) => server.storage.update(KIND, "demo", name, pod(name, node));
const remove = (name: string) => server.storage.delete(KIND, "demo", name);
const held = () =>
  Object.fromEntries([...store.keys()].sort().map((key) => [key.replace("demo/", ""), store.get(key)]));
const watching = () => until(() => server.watching === 1 && reflector.counts.watches > 0, "a watch");
const lists = () => server.requests.filter(({ query }) => !query.has("watch")).length;
/** Lets time pass until it holds, but not while a request is on its way. */
async function inTime(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 1000; i += 1) {
    await settled(server, inFlight);
    if (condition()) return;
    clock.advance(400);
  }
  throw new Error(`waited in vain: ${what}`);
}
const passBackoff = () => inTime(() => server.watching === 1, "a new watch");

test("is synced when every page is in the store, and follows changes from there", async () => {
  for (let i = 0; i < 7; i += 1) create(`p${i}`);
  start({ pageSize: 3 });
  await reflector.synced;
  expect(Object.keys(held()).length).toBe(7);
  expect(reflector.counts).toMatchObject({ lists: 1, pages: 3, objects: 7, repaired: 0 });
  await watching();
  create("new", "n2");
  replace("p0", "n9");
  remove("p1");
  await until(() => reflector.counts.deleted === 1, "three events");
  expect(held()).toEqual({ new: "n2", p0: "n9", p2: "n1", p3: "n1", p4: "n1", p5: "n1", p6: "n1" });
  expect(reflector.counts).toMatchObject({ added: 1, modified: 1, deleted: 1, objects: 7 });
});

test("keeps only what `keep` gives: an object of no interest leaves the store", async () => {
  create("a", "n1");
  create("b", "n2");
  start({ keep: (object) => (object.spec?.node === "n1" ? "kept" : undefined) });
  await reflector.synced;
  expect(held()).toEqual({ a: "kept" });
  await watching();
  replace("a", "n2");
  replace("b", "n1");
  await until(() => reflector.counts.modified === 2, "two events");
  expect(held()).toEqual({ b: "kept" });
});

test("resumes a dropped watch where it was, half an event in the air, without listing again", async () => {
  create("a");
  start();
  await watching();
  replace("a", "n2");
  await until(() => reflector.counts.modified === 1, "an event");
  server.dropWatches('{"type":"ADDED","obj');
  await until(() => server.watching === 0, "the drop");
  create("while-away");
  remove("a");
  await passBackoff();
  await until(() => reflector.counts.deleted === 1, "what was missed");
  expect(held()).toEqual({ "while-away": "n1" });
  expect(lists()).toBe(1);
  expect(reflector.counts).toMatchObject({ lists: 1, watches: 2, failures: 1 });
});

test("a watch that the server ends in time is opened again at once, from the last bookmark", async () => {
  start();
  await watching();
  server.storage.create("/api/v1/services", "demo", { metadata: { name: "other" } });
  server.bookmark();
  await until(() => reflector.counts.bookmarks === 1, "a bookmark");
  server.endWatches();
  await until(() => reflector.counts.watches === 2, "a new watch");
  expect(server.requests.at(-1)?.query.get("resourceVersion")).toBe(String(server.storage.version));
  expect(server.requests.at(-1)?.query.get("allowWatchBookmarks")).toBe("true");
  expect(reflector.counts.failures).toBe(0);
});

test("a server that accepts watches and ends them at once is asked with growing pauses", async () => {
  start();
  await watching();
  server.endWatches();
  await until(() => server.watching === 0, "the end");
  await Bun.sleep(30);
  expect(reflector.counts.watches).toBe(1);
  clock.advance(800);
  await watching();
  server.endWatches();
  await until(() => server.watching === 0, "the end");
  await Bun.sleep(10);
  clock.advance(790);
  await Bun.sleep(10);
  expect(reflector.counts.watches).toBe(2);
  await passBackoff();
});

for (const how of ["event", "answer"] as const)
  test(`410 as ${how}: lists again and tells followers what changed, came and went, and nothing else`, async () => {
    for (const name of ["same", "changed", "gone", "reborn"]) create(name);
    start();
    await watching();
    changes.length = 0;
    server.frozen = true;
    replace("changed", "n2");
    remove("gone");
    remove("reborn");
    create("reborn", "n3");
    create("fresh", "n4");
    server.storage.compact();
    server.frozen = false;
    if (how === "event") server.failWatches(410, "Expired");
    else server.dropWatches();
    await until(() => server.watching === 0, "the end of the watch");
    await inTime(() => reflector.counts.lists === 2, "a new list");
    await watching();
    expect(held()).toEqual({ changed: "n2", fresh: "n4", reborn: "n3", same: "n1" });
    expect(changes.map(({ kind, key }) => `${kind} ${key}`).sort()).toEqual([
      "delete demo/gone",
      "delete demo/reborn",
      "set demo/changed",
      "set demo/fresh",
      "set demo/reborn",
    ]);
    expect(reflector.counts).toMatchObject({ expired: 1, repaired: 4, objects: 4 });
  });

test("a continue token that expires between pages costs one unpaged list", async () => {
  for (let i = 0; i < 6; i += 1) create(`p${i}`);
  server.intercept = ({ query }) => {
    if (query.has("continue")) {
      remove("p0");
      server.storage.compact();
      server.intercept = () => undefined;
    }
    return undefined;
  };
  start({ pageSize: 2 });
  await reflector.synced;
  expect(Object.keys(held())).toEqual(["p1", "p2", "p3", "p4", "p5"]);
  expect(server.requests.filter(({ query }) => !query.has("watch")).map(({ query }) => query.get("limit"))).toEqual([
    "2",
    "2",
    null,
  ]);
});

test("a connection that died without a word is noticed: soon where bookmarks are known", async () => {
  start();
  await watching();
  server.bookmark();
  await until(() => reflector.counts.bookmarks === 1, "a bookmark");
  server.frozen = true;
  create("unseen");
  clock.advance(149_000);
  await Bun.sleep(10);
  expect(reflector.counts.silent).toBe(0);
  server.frozen = false;
  clock.advance(1000);
  await until(() => reflector.counts.silent === 1, "the silence is noticed");
  await passBackoff();
  await until(() => held()["unseen"] !== undefined, "what was missed");
  expect(lists()).toBe(1);
  // The new watch has brought no bookmark: a quiet kind gets none, and must not be asked for again and again.
  clock.advance(200_000);
  await settled(server, inFlight);
  expect(reflector.counts.silent).toBe(1);
});

test("without bookmarks a silent watch is given up shortly after the server should have ended it", async () => {
  start();
  await watching();
  const seconds = Number(server.requests.at(-1)?.query.get("timeoutSeconds"));
  expect(seconds).toBeGreaterThanOrEqual(300);
  expect(seconds).toBeLessThanOrEqual(600);
  clock.advance(seconds * 1000 + 28_000);
  await Bun.sleep(10);
  expect(reflector.counts.silent).toBe(0);
  clock.advance(3000);
  await until(() => reflector.counts.silent === 1, "the silence is noticed");
  await passBackoff();
});

test("garbage in the stream costs a list, not the reflector", async () => {
  create("a");
  start();
  await watching();
  server.sendRaw("<html>\n");
  await until(() => reflector.counts.failures === 1, "the garbage is noticed");
  await passBackoff();
  expect(reflector.counts.lists).toBe(2);
  expect(held()).toEqual({ a: "n1" });
});

test("waits as long as a busy server asks, says why it fails, and warns once", async () => {
  let refusing = true;
  server.intercept = () =>
    refusing ? { status: 429, body: { reason: "TooManyRequests" }, headers: { "retry-after": "60" } } : undefined;
  start();
  await until(() => reflector.counts.failures === 1, "a failure");
  expect(reflector.lastError?.code).toBe("too-many-requests");
  clock.advance(59_000);
  await Bun.sleep(10);
  expect(reflector.counts.failures).toBe(1);
  clock.advance(1000);
  await until(() => reflector.counts.failures === 2, "another failure");
  refusing = false;
  await passBackoff();
  await reflector.synced;
  expect(reflector.lastError).toBeUndefined();
  expect(logger.of("watch failed").map(({ level }) => level)).toEqual(["warn", "debug"]);
});

test("a version that the server goes on refusing is not believed for ever", async () => {
  create("a");
  start();
  await watching();
  server.intercept = ({ query }) =>
    query.has("watch")
      ? { status: 504, body: { reason: "Timeout", message: "Too large resource version" } }
      : undefined;
  server.dropWatches();
  await inTime(() => reflector.counts.lists === 2, "a list");
  server.intercept = () => undefined;
  await passBackoff();
});

test("one object that cannot be taken does not stop the others", async () => {
  create("bad", "boom");
  create("good");
  start({
    keep: (object) => {
      if (object.spec?.node === "boom") throw new Error("no such shape");
      return object.spec?.node;
    },
  });
  await reflector.synced;
  expect(held()).toEqual({ good: "n1" });
  expect(reflector.counts.broken).toBe(1);
  expect(logger.of("an object was not taken")[0]?.fields).toMatchObject({ key: "demo/bad" });
  await watching();
  replace("bad", "n2");
  await until(() => held()["bad"] === "n2", "the mended object");
});

test("asks for one namespace and by selectors, in list and watch alike", async () => {
  server.storage.create(KIND, "other", pod("a"));
  create("b");
  start({ namespace: "demo", labelSelector: "app=web", fieldSelector: "spec.nodeName=n1" });
  await watching();
  expect(held()).toEqual({ b: "n1" });
  for (const { path, query } of server.requests) {
    expect(path).toBe("/api/v1/namespaces/demo/pods");
    expect([query.get("labelSelector"), query.get("fieldSelector")]).toEqual(["app=web", "spec.nodeName=n1"]);
  }
});

test("disposed before it is synced, it says so and leaves nothing", async () => {
  server.intercept = () => "hang";
  start();
  await until(() => server.requests.length === 1, "the request");
  reflector[Symbol.dispose]();
  expect(reflector.synced).rejects.toThrow("gave up");
  await reflector.ended;
  expect(clock.pending).toBe(0);
});

test("ends with its owner's signal, also in the middle of a back-off", async () => {
  const owner = new AbortController();
  server.intercept = () => ({ status: 500 });
  start({ signal: owner.signal });
  await until(() => reflector.counts.failures === 1, "a failure");
  owner.abort();
  await reflector.ended;
  expect(clock.pending).toBe(0);
});

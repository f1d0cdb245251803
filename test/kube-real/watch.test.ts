/** The reflector against a real API server: restarts, compaction, dead networks, slow readers, 10,000 pods. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type KubeClient, Reflector, type ReflectorOptions } from "../../src/kube/index.ts";
import { MemoryStore } from "../../src/mesh/index.ts";
import { MemoryLogger } from "../../src/testkit/memory-logger.ts";
import { until } from "../../src/testkit/until.ts";
import { ApiServer } from "../kube/api-server.ts";
import {
  admin,
  CONFIG_MAPS,
  type ConfigMap,
  NAMESPACES,
  PODS,
  type Pod,
  pod,
  spread,
  systemClock,
  systemRandom,
} from "../kube/clients.ts";
import { Relay } from "../kube/relay.ts";

let owned: AsyncDisposableStack;
let server: ApiServer;
let root: KubeClient;
let store: MemoryStore<string>;
let logger: MemoryLogger;

async function start(...flags: readonly string[]): Promise<void> {
  server = owned.use(await ApiServer.start({ flags }));
  root = owned.use(admin(server));
  await root.create(NAMESPACES, { metadata: { name: "demo" } });
}

beforeEach(() => {
  owned = new AsyncDisposableStack();
  store = new MemoryStore();
  logger = new MemoryLogger();
});

afterEach(async () => {
  await owned.disposeAsync();
});

function follow(
  client: KubeClient,
  options: Partial<ReflectorOptions<ConfigMap, string>> = {},
): Reflector<ConfigMap, string> {
  const reflector = new Reflector<ConfigMap, string>({
    client,
    resource: CONFIG_MAPS,
    namespace: "demo",
    keep: (one) => one.data?.["v"] ?? "",
    sink: store,
    clock: systemClock,
    random: systemRandom,
    logger,
    ...options,
  });
  owned.defer(async () => {
    reflector[Symbol.dispose]();
    await reflector.ended;
  });
  return reflector;
}

const put = (name: string, v = "1") =>
  root.apply(
    CONFIG_MAPS,
    { metadata: { namespace: "demo", name }, data: { v } },
    { fieldManager: "test", force: true },
  );
const drop = (name: string) => root.delete(CONFIG_MAPS, { namespace: "demo", name });
const at = (name: string) => store.get(`demo/${name}`);
const names = async () =>
  (await root.list(CONFIG_MAPS, { namespace: "demo" })).items.map(({ metadata }) => metadata.name).sort();
const kept = () => [...store.keys()].map((key) => key.replace("demo/", "")).sort();
const report = (line: string) => process.stdout.write(`    ${line}\n`);

test("follows through restarts of the API server, killed or stopped, with changes in between", async () => {
  await start();
  await put("a");
  const reflector = follow(root);
  await reflector.synced;
  for (const [round, signal] of (["SIGKILL", "SIGTERM", "SIGKILL"] as const).entries()) {
    await put(`before-${round}`);
    const stopping = performance.now();
    await server.down(signal);
    const stopped = performance.now();
    await server.up();
    report(
      `${signal}: stopped in ${Math.round(stopped - stopping)} ms, up in ${Math.round(performance.now() - stopped)} ms`,
    );
    // Other kinds move the version on, so that ours is older than the new server's cache.
    await root.create(NAMESPACES, { metadata: { name: `other-${round}` } });
    await put(`after-${round}`);
    await drop(`before-${round}`);
    const back = performance.now();
    await until(
      () => at(`after-${round}`) !== undefined && at(`before-${round}`) === undefined,
      "the store is right again",
      60_000,
    );
    report(`right again ${Math.round(performance.now() - back)} ms after the last change (${signal})`);
  }
  expect(kept()).toEqual(await names());
  report(JSON.stringify(reflector.counts));
}, 180_000);

test("a version that was compacted away costs one list, and followers learn what is gone", async () => {
  await start("--watch-cache=false", "--etcd-compaction-interval=1s");
  for (const name of ["same", "changed", "gone"]) await put(name);
  const relay = owned.use(await Relay.start(server.port));
  const reflector = follow(owned.use(admin(server, relay.port)));
  await reflector.synced;
  await until(() => reflector.counts.watches === 1, "a watch");
  relay.cut();
  await put("changed", "2");
  await drop("gone");
  await put("fresh");
  // Two intervals: the first only notes the revision that the second compacts.
  for (let i = 0; i < 8; i += 1) {
    await Bun.sleep(500);
    await put("tick", String(i));
  }
  relay.mend();
  await until(() => at("fresh") !== undefined && at("tick") === "7", "the store is right again", 60_000);
  expect(kept()).toEqual(await names());
  expect(reflector.counts).toMatchObject({ lists: 2, expired: 1 });
  report(JSON.stringify(reflector.counts));
}, 120_000);

test("a continue token that was compacted away is `expired`", async () => {
  await start("--watch-cache=false", "--etcd-compaction-interval=1s");
  for (let i = 0; i < 20; i += 1) await put(`m${i}`);
  const pages = root.pages(CONFIG_MAPS, { namespace: "demo", limit: 5 });
  await pages.next();
  for (let i = 0; i < 8; i += 1) {
    await Bun.sleep(500);
    await put("m0", String(i));
  }
  await expect(pages.next()).rejects.toMatchObject({ code: "expired", status: 410 });
}, 120_000);

test("a watch from a version older than the watch cache is `expired` as an event or an answer, and listed again", async () => {
  await start();
  await put("a");
  const relay = owned.use(await Relay.start(server.port));
  const reflector = follow(owned.use(admin(server, relay.port)));
  await reflector.synced;
  await until(() => reflector.counts.watches === 1, "a watch");
  relay.cut();
  await drop("a");
  for (let i = 0; i < 300; i += 1) await put("busy", String(i));
  await server.down();
  await server.up();
  relay.mend();
  await until(() => at("busy") === "299" && at("a") === undefined, "the store is right again", 60_000);
  expect(reflector.counts.expired).toBe(1);
  expect(reflector.counts.lists).toBe(2);
}, 120_000);

test("a reader too slow for the server is cut off by it, resumes, and misses nothing", async () => {
  await start();
  const relay = owned.use(await Relay.start(server.port));
  const reflector = follow(owned.use(admin(server, relay.port)));
  await reflector.synced;
  await until(() => reflector.counts.watches === 1, "a watch");
  relay.freeze();
  const filler = "x".repeat(100_000);
  await spread(400, 8, (i) =>
    root.create(CONFIG_MAPS, { metadata: { namespace: "demo", name: `big${i}` }, data: { v: String(i), filler } }),
  );
  relay.mend();
  await until(() => [...store.keys()].length === 400 && at("big399") === "399", "every object is there", 60_000);
  report(JSON.stringify(reflector.counts));
  expect(reflector.counts.watches).toBeGreaterThan(1);
  expect(kept()).toEqual(await names());
}, 120_000);

test("bookmarks arrive on a watch that has fallen quiet", async () => {
  await start();
  const reflector = follow(root);
  await reflector.synced;
  await until(() => reflector.counts.watches === 1, "a watch");
  // The server sends none before the kind has changed since the watch began (cache_watcher.go).
  await put("a");
  const began = performance.now();
  await until(() => reflector.counts.bookmarks > 0, "a bookmark", 100_000);
  report(`first bookmark on a quiet watch after ${Math.round((performance.now() - began) / 1000)} s`);
}, 150_000);

test("10,000 pods: created, listed, watched", async () => {
  await start();
  const began = performance.now();
  await spread(10_000, 24, (i) => root.create(PODS, pod("demo", `web-${i}`, { n: String(i % 100) })));
  report(`10,000 pods created in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  // In a process of its own, so that its memory is that of a client and nothing else.
  for (const how of ["none", "500", "2000", "0"]) {
    const child = Bun.spawn(
      [process.execPath, `${import.meta.dir}/../kube/list-pods.ts`, server.folder, String(server.port), how],
      { stdout: "pipe", stderr: "inherit" },
    );
    report((await new Response(child.stdout).text()).trim());
    expect(await child.exited).toBe(0);
  }
  const nodes = new Map<string, string>();
  const slim = (one: Pod): { node: string } => ({ node: one.spec.nodeName ?? "" });
  const reflector = new Reflector({
    client: root,
    resource: PODS,
    keep: slim,
    sink: { set: (key, value) => void nodes.set(key, value.node), delete: (key) => void nodes.delete(key) },
    clock: systemClock,
    random: systemRandom,
    logger,
  });
  owned.defer(async () => {
    reflector[Symbol.dispose]();
    await reflector.ended;
  });
  await reflector.synced;
  expect(nodes.size).toBe(10_000);
  const changed = performance.now();
  await spread(1000, 16, (i) =>
    root.patch(
      PODS,
      { namespace: "demo", name: `web-${i}` },
      { kind: "merge", value: { metadata: { labels: { moved: "yes" } } } },
    ),
  );
  await until(() => reflector.counts.modified >= 1000, "1,000 changes", 30_000);
  report(`1,000 changes seen ${Math.round(performance.now() - changed)} ms after the first was sent`);
  const collection = {
    method: "DELETE",
    path: "/api/v1/namespaces/demo/pods",
    what: "delete all pods",
    body: { gracePeriodSeconds: 0 },
    timeout: 120_000,
  } as const;
  await root.transport.text(collection);
  await until(() => nodes.size === 0, "every deletion", 60_000);
  expect(reflector.counts.lists).toBe(1);
  report(JSON.stringify(reflector.counts));
}, 400_000);

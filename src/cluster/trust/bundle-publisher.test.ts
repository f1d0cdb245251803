import { afterEach, beforeEach, expect, test } from "bun:test";
import { KubeClient } from "../../kube/index.ts";
import { MemoryStore } from "../../mesh/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { MemoryLogger } from "../../testkit/memory-logger.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { until } from "../../testkit/until.ts";
import { BundlePublisher } from "./bundle-publisher.ts";

const MAPS = "/api/v1/configmaps";
const NAME = "tulle-trust-bundle";

let server: FakeApiServer;
let client: KubeClient;
let publisher: BundlePublisher;
let namespaces: MemoryStore<object>;
const clock = new FakeClock();
let pem = "one";
let logger: MemoryLogger;

beforeEach(async () => {
  pem = "one";
  server = await FakeApiServer.start();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
  namespaces = new MemoryStore();
  logger = new MemoryLogger();
  for (const name of ["a", "b"]) namespaces.set(name, {});
  publisher = new BundlePublisher({
    client,
    namespaces,
    pem: () => pem,
    clock,
    random: new SeededRandom(),
    logger,
  });
});
afterEach(async () => {
  publisher[Symbol.dispose]();
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

const held = (namespace: string): string | undefined => {
  try {
    return (server.storage.get(MAPS, namespace, NAME) as never as { data: Record<string, string> }).data[
      "root-cert.pem"
    ];
  } catch {
    return undefined;
  }
};

test("every namespace has the bundle, a new one as soon as it is there", async () => {
  await until(() => held("a") === "one" && held("b") === "one", "both namespaces");
  namespaces.set("c", {});
  await until(() => held("c") === "one", "the new namespace");
});

test("a new bundle reaches all, and what somebody edits or deletes is put right", async () => {
  await until(() => held("a") === "one" && held("b") === "one", "both namespaces");
  pem = "two";
  publisher.changed();
  await until(() => held("a") === "two" && held("b") === "two", "the new bundle");
  server.storage.update(MAPS, "a", NAME, { metadata: { name: NAME }, data: { "root-cert.pem": "evil" } } as never);
  await until(() => held("a") === "two", "the edited one to be put right");
  server.storage.delete(MAPS, "b", NAME);
  await until(() => held("b") === "two", "the deleted one to come back");
});

test("what could not be written is tried again, and a namespace that is gone is left alone", async () => {
  await until(() => held("b") === "one", "both namespaces");
  let failures = 0;
  server.intercept = (request) => {
    if (request.method !== "PATCH") return undefined;
    failures++;
    return { status: 500, body: { kind: "Status", code: 500, message: "no" } } as never;
  };
  namespaces.set("c", {});
  await logger.nth("the trust bundle was not published", 1);
  expect(failures).toBe(1);
  server.intercept = () => undefined;
  clock.advance(5_000);
  await until(() => held("c") === "one", "the second try");
  const writes = server.requests.filter((one) => one.method === "PATCH").length;
  namespaces.delete("c");
  server.storage.delete(MAPS, "c", NAME);
  namespaces.set("d", {});
  await until(() => held("d") === "one", "a later namespace");
  expect(held("c")).toBeUndefined();
  expect(server.requests.filter((one) => one.method === "PATCH")).toHaveLength(writes + 1);
});

test("a namespace that has none yet is not missed beside many that have theirs when the leader begins", async () => {
  await until(() => held("a") === "one" && held("b") === "one", "both namespaces");
  for (let more = 1; more <= 12; more++) {
    publisher[Symbol.dispose]();
    const added = `n${more}`;
    namespaces.set(added, {});
    publisher = new BundlePublisher({ client, namespaces, pem: () => pem, clock, random: new SeededRandom(), logger });
    await until(() => held(added) === "one", `namespace ${more} beside ${more + 1}`);
  }
});

test("a write that hangs does not hold up another namespace", async () => {
  await until(() => held("a") === "one" && held("b") === "one", "both namespaces");
  const release = Promise.withResolvers<undefined>();
  server.intercept = (request) =>
    request.method === "PATCH" && request.path.includes("/hanging/") ? release.promise : undefined;
  namespaces.set("hanging", {});
  await until(() => server.requests.some((one) => one.path.includes("/hanging/")), "the first write");
  namespaces.set("other", {});
  await until(() => held("other") === "one", "the other namespace");
  release.resolve(undefined);
  await until(() => held("hanging") === "one", "the first namespace");
});

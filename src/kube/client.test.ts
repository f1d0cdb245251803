import { afterEach, beforeEach, expect, test } from "bun:test";
import { FakeApiServer } from "../testkit/fake-api-server.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { until } from "../testkit/until.ts";
import { KubeClient } from "./client.ts";
import { groupVersions, serverVersion } from "./discovery.ts";
import { KubeError, type KubeErrorCode } from "./errors.ts";
import type { KubeObject } from "./object.ts";
import { resource } from "./resource.ts";
import { requestToken, reviewAccess, reviewToken } from "./reviews.ts";

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}
const MAPS = resource<ConfigMap>("v1", "ConfigMap", "configmaps");
const NODES = resource<KubeObject>("v1", "Node", "nodes", "cluster");
const PODS = resource<KubeObject>("v1", "Pod", "pods");

let server: FakeApiServer;
let clock: FakeClock;
let client: KubeClient;

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  client = new KubeClient({ connection: server.connection(), clock, agent: "tulle/test" });
});

afterEach(async () => {
  client[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
  expect(clock.pending).toBe(0);
});

async function refusal(work: Promise<unknown>): Promise<KubeError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof KubeError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

async function codeOf(work: Promise<unknown>): Promise<KubeErrorCode> {
  return (await refusal(work)).code;
}

const at = { namespace: "demo", name: "settings" };
const draft = (data: Record<string, string> = {}) => ({ metadata: at, data });

test("creates, reads, replaces, patches and deletes an object", async () => {
  const made = await client.create(MAPS, draft({ a: "1" }));
  expect(made).toMatchObject({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "settings", namespace: "demo" },
  });
  const changed = await client.update(MAPS, { ...made, data: { a: "2" } });
  expect(changed.metadata.resourceVersion).not.toBe(made.metadata.resourceVersion as string);
  await client.patch(MAPS, at, { kind: "merge", value: { data: { b: "3" } } }, { fieldManager: "tulle" });
  expect((await client.get(MAPS, at)).data).toEqual({ a: "2", b: "3" });
  await client.delete(MAPS, at, { preconditions: { uid: made.metadata.uid ?? "" }, propagation: "Foreground" });
  expect(await codeOf(client.get(MAPS, at))).toBe("not-found");
  expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
    "POST /api/v1/namespaces/demo/configmaps",
    "PUT /api/v1/namespaces/demo/configmaps/settings",
    "PATCH /api/v1/namespaces/demo/configmaps/settings",
    "GET /api/v1/namespaces/demo/configmaps/settings",
    "DELETE /api/v1/namespaces/demo/configmaps/settings",
    "GET /api/v1/namespaces/demo/configmaps/settings",
  ]);
  expect(server.requests[0]?.headers).toMatchObject({ "user-agent": "tulle/test", authorization: "Bearer token-1" });
  expect(server.requests[4]?.body).toMatchObject({ preconditions: { uid: "uid-1" }, propagationPolicy: "Foreground" });
});

test("tells conflicts apart: exists already, changed by another, precondition not met", async () => {
  const made = await client.create(MAPS, draft());
  expect(await codeOf(client.create(MAPS, draft()))).toBe("already-exists");
  await client.update(MAPS, made);
  expect(await codeOf(client.update(MAPS, made))).toBe("conflict");
  expect(await codeOf(client.delete(MAPS, at, { preconditions: { resourceVersion: "1" } }))).toBe("conflict");
});

test("modify repeats the change on what is there now, and gives up after five conflicts", async () => {
  await client.create(MAPS, draft({ count: "0" }));
  const add = (object: ConfigMap) => ({ ...object, data: { count: String(Number(object.data?.["count"]) + 1) } });
  await Promise.all([1, 2, 3].map(() => client.modify(MAPS, at, add)));
  expect((await client.get(MAPS, at)).data).toEqual({ count: "3" });
  server.intercept = ({ method }) => (method === "PUT" ? { status: 409, body: { reason: "Conflict" } } : undefined);
  const before = server.requests.length;
  expect(await codeOf(client.modify(MAPS, at, add))).toBe("conflict");
  expect(server.requests.length - before).toBe(10);
  expect(await client.modify(MAPS, at, () => undefined)).toMatchObject({ data: { count: "3" } });
});

test("lists page by page, each page of the same version, also while objects come", async () => {
  for (let i = 0; i < 7; i += 1) await client.create(MAPS, { metadata: { namespace: "demo", name: `m${i}` } });
  const names: string[] = [];
  const versions = new Set<string | undefined>();
  for await (const page of client.pages(MAPS, { limit: 3 })) {
    names.push(...page.items.map((item) => item.metadata.name));
    versions.add(page.metadata.resourceVersion);
    server.storage.create(MAPS_PATH, "demo", { metadata: { name: `late${names.length}` } });
  }
  expect(names).toEqual(["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
  expect(versions.size).toBe(1);
});

test("a page whose token has expired is `expired`", async () => {
  for (let i = 0; i < 4; i += 1) await client.create(MAPS, { metadata: { namespace: "demo", name: `m${i}` } });
  const pages = client.pages(MAPS, { limit: 2 });
  await pages.next();
  server.storage.compact();
  expect(await codeOf(pages.next())).toBe("expired");
});

test("applies with a manager, by force only when asked, and reaches subresources and cluster kinds", async () => {
  await client.apply(MAPS, draft({ a: "1" }), { fieldManager: "tulle" });
  await client.apply(MAPS, draft({ a: "2" }), {
    fieldManager: "tulle",
    force: true,
    subresource: "status",
    dryRun: true,
  });
  const [first, second] = server.requests;
  expect(first?.headers["content-type"]).toBe("application/apply-patch+yaml");
  expect(first?.query.toString()).toBe("fieldManager=tulle");
  expect(second?.query.toString()).toBe("fieldManager=tulle&dryRun=All&force=true");
  expect(second?.path).toEndWith("/configmaps/settings/status");
  expect(await codeOf(client.get(NODES, { name: "n1" }))).toBe("not-found");
  expect(server.requests.at(-1)?.path).toBe("/api/v1/nodes/n1");
  await client.createUnder(PODS, { ...at, subresource: "eviction" }, { kind: "Eviction" }).catch(() => {});
  expect(server.requests.at(-1)?.path).toBe("/api/v1/namespaces/demo/pods/settings/eviction");
});

test("refuses names that would reach another path, before anything is sent", async () => {
  for (const name of ["..", ".", "", "a/b", "a%2fb"])
    expect(() => client.get(MAPS, { namespace: "demo", name })).toThrow("cannot be the name");
  expect(() => client.get(MAPS, { name: "x" })).toThrow("lives in a namespace");
  expect(server.requests).toEqual([]);
});

test("a refused token is read once more, and the request sent again", async () => {
  const connection = server.connection("old");
  using other = new KubeClient({ connection, clock, agent: "tulle/test" });
  server.token = "new";
  connection.refresh = () => {
    connection.token = "new";
  };
  expect((await other.list(MAPS)).items).toEqual([]);
  server.token = "newer";
  const error = await refusal(other.list(MAPS));
  expect(error.code).toBe("unauthorized");
  expect(Bun.inspect(error)).not.toContain("Bearer");
  expect(server.requests.length).toBe(4);
});

test("times out on the injected clock, and is given up by the caller's signal", async () => {
  server.intercept = () => "hang";
  const slow = codeOf(client.get(MAPS, at, { timeout: 5000 }));
  await until(() => server.requests.length === 1, "the request");
  clock.advance(4999);
  expect(clock.pending).toBe(1);
  clock.advance(1);
  expect(await slow).toBe("timeout");
  const stop = new AbortController();
  const left = codeOf(client.get(MAPS, at, { signal: stop.signal }));
  await until(() => server.requests.length === 2, "the request");
  stop.abort();
  expect(await left).toBe("aborted");
  expect(await codeOf(client.get(MAPS, at, { signal: AbortSignal.abort() }))).toBe("aborted");
});

test("says that the server is not reachable, and what to try", async () => {
  using nowhere = new KubeClient({
    connection: { ...server.connection(), server: "http://127.0.0.1:1" },
    clock,
    agent: "tulle/test",
  });
  const error = await refusal(nowhere.get(MAPS, at));
  expect(error.code).toBe("unreachable");
  expect(error.message).toBe(
    "cannot get configmaps/settings in namespace demo: no connection to the API server (ECONNREFUSED)",
  );
  expect(error.hint).toContain("server address");
});

test("does not follow redirects, which would carry the token elsewhere", async () => {
  server.intercept = ({ path }) => (path === "/other" ? undefined : { status: 302, headers: { location: "/other" } });
  expect(await codeOf(client.get(MAPS, at))).toBe("bad-answer");
  expect(server.requests.map(({ path }) => path)).not.toContain("/other");
});

test("never shows what an answer holds", async () => {
  server.intercept = () => ({ status: 200, body: '{"data":{"key":"s3cret"}' });
  const error = await refusal(client.get(MAPS, at));
  expect(error.code).toBe("bad-answer");
  expect(Bun.inspect(error)).not.toContain("s3cret");
});

test("a page of a proxy in between still gives an error with its status", async () => {
  server.intercept = () => ({ status: 503, body: "<html>", headers: { "retry-after": "7" } });
  const error = await refusal(client.get(MAPS, at));
  expect([error.code, error.status, error.retryAfter]).toEqual(["unavailable", 503, 7000]);
});

test("reads versions of the server and of groups; a group that is not served has none", async () => {
  server.intercept = ({ path }) => {
    if (path === "/version") return { status: 200, body: { gitVersion: "v1.30.1-gke", major: "1", minor: "30+" } };
    if (path === "/apis/apps") {
      const versions = [{ version: "v1beta1" }, { version: "v1" }];
      return { status: 200, body: { versions, preferredVersion: { version: "v1" } } };
    }
    return path === "/readyz" ? { status: 200, body: "ok" } : undefined;
  };
  expect(await serverVersion(client)).toEqual({ gitVersion: "v1.30.1-gke", major: 1, minor: 30 });
  expect(await groupVersions(client, "apps")).toEqual(["v1", "v1beta1"]);
  expect(await groupVersions(client, "nothing.example")).toEqual([]);
  expect(await client.raw("/readyz?verbose")).toBe("ok");
});

test("a token counts only for one of the audiences asked for, and only when the answer says so", async () => {
  let status: unknown = { authenticated: true, user: { username: "u" }, audiences: ["tulle-ca"] };
  server.intercept = ({ body }) => ({ status: 201, body: { ...(body as object), metadata: { name: "" }, status } });
  expect(await reviewToken(client, "t", ["tulle-ca"])).toEqual({ username: "u" });
  expect(await reviewToken(client, "t", ["other"])).toBeUndefined();
  status = { authenticated: true, user: { username: "u" } };
  expect(await reviewToken(client, "t", ["tulle-ca"])).toBeUndefined();
  status = { authenticated: false, audiences: ["tulle-ca"] };
  expect(await reviewToken(client, "t", ["tulle-ca"])).toBeUndefined();
  status = { allowed: true };
  expect(await reviewAccess(client, { username: "u", groups: ["g"] }, { verb: "get", resource: "pods" })).toBe(true);
  expect(server.requests.at(-1)?.body).toMatchObject({ spec: { user: "u", groups: ["g"] } });
  status = { token: "t", expirationTimestamp: "2026-01-01T00:00:00Z" };
  const made = await requestToken(client, { namespace: "demo", name: "app" }, { audiences: ["tulle-ca"] });
  expect(made.status?.token).toBe("t");
  expect(server.requests.at(-1)?.path).toBe("/api/v1/namespaces/demo/serviceaccounts/app/token");
});

const MAPS_PATH = "/api/v1/configmaps";

/** Typed calls against a real API server: what it accepts, refuses and answers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connect,
  EVENTS,
  EventRecorder,
  groupVersions,
  inClusterConnection,
  type KubeClient,
  KubeError,
  type KubeObject,
  referenceTo,
  requestToken,
  resource,
  reviewAccess,
  reviewToken,
  servedResources,
  serverVersion,
} from "../../src/kube/index.ts";
import { MemoryLogger } from "../../src/testkit/memory-logger.ts";
import { ApiServer } from "../kube/api-server.ts";
import {
  admin,
  CONFIG_MAPS,
  type ConfigMap,
  certificateConnection,
  client,
  NAMESPACES,
  PODS,
  pod,
  SERVICE_ACCOUNTS,
  signToken,
  systemClock,
  systemRandom,
  tokenConnection,
} from "../kube/clients.ts";

/** Seconds for which the API server takes a token after its expiry (go-jose's DefaultLeeway). */
const LEEWAY = 60;

let server: ApiServer;
let root: KubeClient;

beforeAll(async () => {
  server = await ApiServer.start();
  root = admin(server);
  await root.create(NAMESPACES, { metadata: { name: "demo" } });
}, 90_000);

afterAll(async () => {
  root?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

async function refusal(work: Promise<unknown>): Promise<KubeError> {
  const error = await work.catch((caught: unknown) => caught);
  if (error instanceof KubeError) return error;
  throw new Error(`no KubeError: ${Bun.inspect(error)}`);
}
const codeOf = async (work: Promise<unknown>) => (await refusal(work)).code;
const map = (name: string, data: Record<string, string> = {}): ConfigMap => ({
  metadata: { namespace: "demo", name },
  data,
});

test("discovers versions and kinds, and reads raw paths", async () => {
  const version = await serverVersion(root);
  expect(version.major).toBe(1);
  expect(version.minor).toBeGreaterThanOrEqual(30);
  expect(await groupVersions(root, "")).toEqual(["v1"]);
  expect((await groupVersions(root, "coordination.k8s.io"))[0]).toBe("v1");
  expect(await groupVersions(root, "tulle.dev")).toEqual([]);
  const names = (await servedResources(root, "v1")).map(({ name }) => name);
  expect(names).toContain("pods/exec");
  expect(await servedResources(root, "tulle.dev/v1")).toEqual([]);
  expect(await root.raw("/readyz?verbose")).toContain("readyz check passed");
  expect(Object.keys(JSON.parse(await root.raw("/openapi/v3")).paths)).toContain("api/v1");
});

test("every refusal has its code and a message that helps", async () => {
  await root.create(CONFIG_MAPS, map("one"));
  expect(await codeOf(root.create(CONFIG_MAPS, map("one")))).toBe("already-exists");
  expect(await codeOf(root.get(CONFIG_MAPS, { namespace: "demo", name: "none" }))).toBe("not-found");
  expect(await codeOf(root.list(resource("tulle.dev/v1", "X", "xs", "cluster")))).toBe("not-found");
  const invalid = await refusal(root.create(CONFIG_MAPS, map("Not_A_Name")));
  expect(invalid.code).toBe("invalid");
  expect(invalid.causes[0]?.field).toBe("metadata.name");
  const strict = await refusal(
    root.create(CONFIG_MAPS, { ...map("two"), dat: {} } as ConfigMap, { fieldValidation: "Strict" }),
  );
  expect(strict.code).toBe("bad-request");
  using alice = client(certificateConnection(server, "alice"));
  const forbidden = await refusal(alice.list(PODS, { namespace: "demo" }));
  expect(forbidden.code).toBe("forbidden");
  expect(forbidden.message).toContain('User "alice" cannot list resource "pods"');
  using nobody = client(tokenConnection(server, "s3cret.s3cret.s3cret"));
  const unknown = await refusal(nobody.list(PODS));
  expect(unknown.code).toBe("unauthorized");
  expect(Bun.inspect(unknown)).not.toContain("s3cret");
  expect(await codeOf(root.list(PODS, { continue: "garbage" }))).toBe("bad-request");
  expect(await codeOf(root.create(CONFIG_MAPS, map("big", { a: "x".repeat(4_000_000) })))).toBe("too-large");
});

test("refuses an API server whose certificate another CA signed, or that has another name", async () => {
  const { tls } = await certificateConnection(server, "admin").credentials();
  const wrong = {
    ...certificateConnection(server, "admin"),
    credentials: async () => ({ headers: {}, tls: { ...tls, ca: server.read("other-ca.crt") } }),
  };
  using stranger = client(wrong);
  expect(await codeOf(stranger.raw("/version"))).toBe("untrusted-server");
  using renamed = client({
    ...wrong,
    credentials: async () => ({ headers: {}, tls: { ...tls, serverName: "other.example" } }),
  });
  expect(await codeOf(renamed.raw("/version"))).toBe("untrusted-server");
});

test("clients with different certificates never share a connection", async () => {
  const whoAmI = resource<KubeObject & { status?: { userInfo: { username: string } } }>(
    "authentication.k8s.io/v1",
    "SelfSubjectReview",
    "selfsubjectreviews",
    "cluster",
  );
  const ask = async (one: KubeClient) => (await one.create(whoAmI, {})).status?.userInfo.username;
  using alice = client(certificateConnection(server, "alice"));
  using bob = client(certificateConnection(server, "bob"));
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(i % 2 === 0 ? alice : bob)));
  expect(answers).toEqual(Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? "alice" : "bob")));
});

test("conflicts: a stale update, preconditions of a delete, and four writers that all get through", async () => {
  const made = await root.create(CONFIG_MAPS, map("counter", { count: "0" }));
  await root.update(CONFIG_MAPS, { ...made, data: { count: "0", by: "other" } });
  expect(await codeOf(root.update(CONFIG_MAPS, made))).toBe("conflict");
  const at = { namespace: "demo", name: "counter" };
  expect(
    await codeOf(root.delete(CONFIG_MAPS, at, { preconditions: { uid: "00000000-0000-0000-0000-000000000000" } })),
  ).toBe("conflict");
  const add = (object: ConfigMap) => ({
    ...object,
    data: { ...object.data, count: String(Number(object.data?.["count"]) + 1) },
  });
  await Promise.all(Array.from({ length: 4 }, () => root.modify(CONFIG_MAPS, at, add)));
  expect((await root.get(CONFIG_MAPS, at)).data?.["count"]).toBe("4");
});

test("patches by JSON patch and merge; a failed test of a JSON patch is `invalid`", async () => {
  await root.create(CONFIG_MAPS, map("patched", { a: "1" }));
  const at = { namespace: "demo", name: "patched" };
  await root.patch(CONFIG_MAPS, at, {
    kind: "json",
    operations: [
      { op: "test", path: "/data/a", value: "1" },
      { op: "add", path: "/data/b", value: "2" },
    ],
  });
  await root.patch(CONFIG_MAPS, at, { kind: "merge", value: { data: { a: null, c: "3" } } });
  expect((await root.get(CONFIG_MAPS, at)).data).toEqual({ b: "2", c: "3" });
  expect(
    await codeOf(
      root.patch(CONFIG_MAPS, at, { kind: "json", operations: [{ op: "test", path: "/data/b", value: "9" }] }),
    ),
  ).toBe("invalid");
});

test("server-side apply: creates, refuses another manager's field unless forced, removes what is no longer wanted", async () => {
  await root.apply(CONFIG_MAPS, map("applied", { a: "1", b: "1" }), { fieldManager: "tulle" });
  const conflict = await refusal(root.apply(CONFIG_MAPS, map("applied", { a: "2" }), { fieldManager: "other" }));
  expect(conflict.code).toBe("conflict");
  expect(conflict.causes[0]).toMatchObject({ field: ".data.a", reason: "FieldManagerConflict" });
  const forced = await root.apply(CONFIG_MAPS, map("applied", { a: "2" }), { fieldManager: "other", force: true });
  expect(forced.data).toEqual({ a: "2", b: "1" });
  const left = await root.apply(CONFIG_MAPS, map("applied"), { fieldManager: "tulle" });
  expect(left.data).toEqual({ a: "2" });
});

test("subresources: status, binding, eviction, approval", async () => {
  await root.create(PODS, pod("demo", "sub"));
  const at = { namespace: "demo", name: "sub" };
  const target = { apiVersion: "v1", kind: "Node", name: "n1" };
  await root.createUnder(
    PODS,
    { ...at, subresource: "binding" },
    { apiVersion: "v1", kind: "Binding", metadata: at, target },
  );
  const running = await root.patch(
    PODS,
    { ...at, subresource: "status" },
    { kind: "merge", value: { status: { phase: "Running", podIP: "10.0.0.9" } } },
  );
  expect([running.spec.nodeName, running.status?.podIP]).toEqual(["n1", "10.0.0.9"]);
  await root.createUnder(
    PODS,
    { ...at, subresource: "eviction" },
    { apiVersion: "policy/v1", kind: "Eviction", metadata: at },
  );
  expect((await root.get(PODS, at)).metadata.deletionTimestamp).toBeDefined();
  await root.delete(PODS, at, { gracePeriodSeconds: 0 });
  expect(await codeOf(root.get(PODS, at))).toBe("not-found");

  interface Csr extends KubeObject {
    readonly spec: object;
    readonly status?: { readonly conditions?: readonly object[] };
  }
  const csrs = resource<Csr>(
    "certificates.k8s.io/v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "cluster",
  );
  const openssl = Bun.spawnSync([
    "openssl",
    "req",
    "-new",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-subj",
    "/CN=x",
    "-keyout",
    "/dev/null",
  ]);
  const spec = { request: openssl.stdout.toString("base64"), signerName: "tulle.dev/test", usages: ["client auth"] };
  const csr = await root.create(csrs, { metadata: { name: "csr" }, spec });
  const condition = { type: "Approved", status: "True", reason: "Test", message: "approved by a test" };
  const approved = await root.update(
    csrs,
    { ...csr, status: { conditions: [condition] } },
    { subresource: "approval" },
  );
  expect(approved.status?.conditions).toMatchObject([condition]);
});

test("TokenReview knows the audience; SubjectAccessReview knows the roles", async () => {
  const account = await root.create(SERVICE_ACCOUNTS, { metadata: { namespace: "demo", name: "app" } });
  const { status } = await requestToken(
    root,
    { namespace: "demo", name: "app" },
    { audiences: ["tulle-ca"], expirationSeconds: 600 },
  );
  const token = status?.token ?? "";
  expect(await reviewToken(root, token, ["tulle-ca"])).toMatchObject({
    username: "system:serviceaccount:demo:app",
    uid: account.metadata.uid ?? "",
  });
  expect(await reviewToken(root, token, ["other"])).toBeUndefined();
  expect(await reviewToken(root, `${token.slice(0, -4)}AAAA`, ["tulle-ca"])).toBeUndefined();
  expect(await reviewToken(root, signToken(server, account, -LEEWAY - 5, "tulle-ca"), ["tulle-ca"])).toBeUndefined();
  const pods = { verb: "list", resource: "pods", namespace: "demo" };
  expect(await reviewAccess(root, { username: "x", groups: ["system:masters"] }, pods)).toBe(true);
  expect(await reviewAccess(root, { username: "x", groups: ["none"] }, pods)).toBe(false);
});

test("a token that expires is replaced from its file in the middle of the work", async () => {
  const account = await root.create(SERVICE_ACCOUNTS, { metadata: { namespace: "demo", name: "short" } });
  const folder = mkdtempSync(join(tmpdir(), "tulle-kube-pod-"));
  try {
    writeFileSync(join(folder, "ca.crt"), server.read("ca.crt"));
    writeFileSync(join(folder, "token"), signToken(server, account, 2 - LEEWAY));
    const env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(server.port) };
    const connection = inClusterConnection(env, folder);
    if (connection === undefined) throw new Error("no pod");
    using inPod = client(connection);
    expect(await codeOf(inPod.list(PODS))).toBe("forbidden");
    // The API server keeps a token's verdict for ten seconds.
    const end = performance.now() + 30_000;
    while ((await codeOf(inPod.list(PODS))) !== "unauthorized" && performance.now() < end) await Bun.sleep(250);
    expect(await codeOf(inPod.list(PODS))).toBe("unauthorized");
    writeFileSync(join(folder, "token"), signToken(server, account, 60));
    expect(await codeOf(inPod.list(PODS))).toBe("forbidden");
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);

test("a kubeconfig with certificates, found through KUBECONFIG, does the same", async () => {
  const data = (name: string) => Buffer.from(server.read(name)).toString("base64");
  const file = join(server.folder, "kubeconfig");
  writeFileSync(
    file,
    JSON.stringify({
      clusters: [
        {
          name: "c",
          cluster: {
            server: `https://localhost:${server.port}`,
            "certificate-authority-data": data("ca.crt"),
            "tls-server-name": "kubernetes",
          },
        },
      ],
      users: [{ name: "u", user: { "client-certificate-data": data("admin.crt"), "client-key": "admin.key" } }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u", namespace: "demo" } }],
      "current-context": "x",
    }),
  );
  using found = client(await connect({ env: { KUBECONFIG: file } }));
  expect(found.namespace).toBe("demo");
  expect((await found.list(NAMESPACES)).items.map(({ metadata }) => metadata.name)).toContain("demo");
});

test("Events and their series pass the API server's validation", async () => {
  const target = await root.create(PODS, pod("demo", "eventful"));
  const recorder = new EventRecorder({
    client: root,
    clock: systemClock,
    random: systemRandom,
    logger: new MemoryLogger(),
    controller: "tulle.dev/operator",
    instance: "operator-1",
  });
  const happening = {
    type: "Warning",
    reason: "NotInjected",
    action: "Inject",
    note: "ß".repeat(2000),
    regarding: referenceTo(PODS, target),
  } as const;
  recorder.record(happening);
  await recorder.flush();
  for (let i = 0; i < 3; i += 1) recorder.record(happening);
  await recorder.flush();
  recorder.record({ ...happening, regarding: { apiVersion: "v1", kind: "Node", name: "n1" } });
  await recorder.flush();
  expect(recorder.counts).toEqual({ recorded: 5, written: 3, dropped: 0 });
  const [event] = (await root.list(EVENTS, { namespace: "demo" })).items;
  expect(event?.series?.count).toBe(4);
  expect((await root.list(EVENTS, { namespace: "default" })).items.length).toBe(1);
  recorder[Symbol.dispose]();
});

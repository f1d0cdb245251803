/** Reading for `tulle status`, against the fake API server: what is asked for, and what is said where that is forbidden. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Authority } from "../../identity/index.ts";
import { KubeClient } from "../../kube/index.ts";
import { INJECTOR_WEBHOOKS } from "../../mesh/index.ts";
import { meshReport } from "../../status/index.ts";
import { FakeApiServer } from "../../testkit/fake-api-server.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import type { Cluster } from "../cluster.ts";
import { readMesh } from "./read.ts";

const PODS = "/api/v1/pods";
const NAMESPACES = "/api/v1/namespaces";
const CONFIG_MAPS = "/api/v1/configmaps";
const ALL = { namespace: undefined, operatorNamespace: undefined };
const PEM = Authority.create({
  clock: new FakeClock(),
  random: new SeededRandom(1),
  trustDomain: "cluster.local" as never,
})
  .bundle()
  .pem();
let api: FakeApiServer;
let client: KubeClient;
let cluster: Cluster;

beforeEach(async () => {
  api = await FakeApiServer.start();
  const clock = new FakeClock();
  client = new KubeClient({ connection: api.connection(), clock, agent: "test" });
  cluster = { client, clock, namespace: "tulle-system", sleep: async (span) => clock.advance(span) };
});
afterEach(async () => {
  client[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

function put(kind: string, namespace: string | undefined, object: object): void {
  api.storage.create(kind, namespace, object as never);
}

/** A mesh in namespace `own`, all well; namespace shop is labelled at noon, and `old` there is of an hour before. */
function meshIn(own: string): void {
  const caBundle = Buffer.from(PEM).toString("base64");
  const service = { namespace: own, name: "tulle-operator" };
  put("/apis/apps/v1/deployments", own, {
    metadata: { name: "tulle-operator", labels: { "app.kubernetes.io/version": "0.1.0" } },
    spec: { replicas: 2, template: { spec: { containers: [{ name: "operator", args: ["--mode=permissive"] }] } } },
    status: { replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
  });
  put("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", undefined, {
    metadata: { name: "tulle-injector" },
    webhooks: INJECTOR_WEBHOOKS.map((name) => ({ name, failurePolicy: "Ignore", clientConfig: { service, caBundle } })),
  });
  const lease = { metadata: { name: "tulle-operator" }, spec: { holderIdentity: "tulle-operator-1_aa" } };
  put("/apis/coordination.k8s.io/v1/leases", own, lease);
  const labels = { "tulle.dev/inject": "enabled" };
  const fieldsV1 = { "f:metadata": { "f:labels": { "f:tulle.dev/inject": {} } } };
  const managedFields = [{ manager: "kubectl-label", time: "2026-01-15T12:00:00Z", fieldsV1 }];
  put(NAMESPACES, undefined, { metadata: { name: own } });
  put(NAMESPACES, undefined, { metadata: { name: "shop", labels, managedFields } });
  for (const namespace of [own, "shop"]) {
    put(CONFIG_MAPS, namespace, { metadata: { name: "tulle-trust-bundle" }, data: { "root-cert.pem": PEM } });
  }
  const container = { containers: [{ name: "app", image: "x" }] };
  const ready = { conditions: [{ type: "Ready", status: "True" }] };
  put(PODS, own, { metadata: { name: "tulle-operator-1" }, spec: container, status: ready });
  const ending = { name: "tulle-operator-0", deletionTimestamp: "2026-01-15T12:00:00Z" };
  put(PODS, own, { metadata: ending, spec: container, status: ready });
  const sidecar = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] };
  put(PODS, "shop", { metadata: { name: "new" }, spec: { ...container, ...sidecar } });
  put(PODS, "shop", { metadata: { name: "old", creationTimestamp: "2026-01-15T11:00:00Z" }, spec: container });
}

/** Refuses with 403, as RBAC does, whatever the path matches. */
function forbid(path: RegExp): void {
  api.intercept = (request) =>
    path.test(request.path)
      ? { status: 403, body: { kind: "Status", reason: "Forbidden", code: 403, message: `${request.path}: no` } }
      : undefined;
}

describe("a cluster", () => {
  test("is read into a report, and its CA Secret is not", async () => {
    meshIn("tulle-system");
    const report = meshReport(await readMesh(cluster, ALL));
    expect(report).toMatchObject({ ok: false, controlPlane: { ready: true, problems: [], warnings: [], unseen: [] } });
    expect(report.controlPlane.replicas).toMatchObject([{ pod: "tulle-operator-1", leader: true }]);
    expect(report.namespaces).toMatchObject([{ name: "shop", meshed: 1, unmeshed: 1 }]);
    expect(report.pods.find((pod) => pod.name === "old")).toMatchObject({ state: "unmeshed", cause: "before-label" });
    expect(api.requests.filter(({ path }) => path.includes("secrets"))).toEqual([]);
    expect(api.requests.every(({ method }) => method === "GET")).toBe(true);
    api.storage.delete(PODS, "shop", "old");
    expect(meshReport(await readMesh(cluster, ALL)).ok).toBe(true);
  });

  test("tells where the operator is; who may not look for it says it", async () => {
    meshIn("mesh");
    expect((await readMesh(cluster, ALL)).controlPlane).toMatchObject({ namespace: "mesh", ready: true });
    forbid(/clusterrolebindings/);
    expect((await readMesh(cluster, ALL)).controlPlane).toMatchObject({ namespace: "tulle-system", ready: false });
    const said = await readMesh(cluster, { ...ALL, operatorNamespace: "mesh" });
    expect(said.controlPlane).toMatchObject({ namespace: "mesh", ready: true });
  });

  test("without the mesh says that there is none", async () => {
    put(NAMESPACES, undefined, { metadata: { name: "shop" } });
    const { ok, controlPlane } = meshReport(await readMesh(cluster, ALL));
    expect([ok, controlPlane.problems[0]?.text]).toEqual([false, "there is no operator in namespace tulle-system"]);
  });
});

describe("one namespace", () => {
  const shop = { ...ALL, namespace: "shop" };

  test("is read alone, and not what the user need not see", async () => {
    meshIn("tulle-system");
    const report = meshReport(await readMesh(cluster, shop));
    expect(report.pods.map((pod) => `${pod.namespace}/${pod.name}`)).toEqual(["shop/new", "shop/old"]);
    expect(api.requests.map(({ path }) => path)).not.toContain(PODS);
    expect(api.requests.map(({ path }) => path)).not.toContain(NAMESPACES);
  });

  test("is judged with rights in it alone: what belongs to the mesh is told as not seen", async () => {
    meshIn("tulle-system");
    forbid(/tulle-system|^\/api\/v1\/(pods|namespaces)$|rolebindings|webhookconfigurations/);
    const { ok, controlPlane, pods } = meshReport(await readMesh(cluster, shop));
    expect(pods).toHaveLength(2);
    expect([ok, controlPlane.ready, controlPlane.trust?.trustDomain]).toEqual([false, null, "cluster.local"]);
    expect(controlPlane.unseen.map(({ part }) => part)).toEqual(["operator", "replicas", "leader", "injector"]);
  });

  test("that is not there is wrong use", async () => {
    const asked = readMesh(cluster, { ...ALL, namespace: "shpo" });
    await expect(asked).rejects.toThrow(expect.objectContaining({ code: "no-namespace", exitCode: 2 }));
  });
});

describe("a missing permission is named, with what helps", () => {
  test.each([
    [/^\/api\/v1\/pods$/, undefined, "you may not list pods in all namespaces", /tulle status -n NAMESPACE/],
    [/^\/api\/v1\/namespaces$/, undefined, "you may not list namespaces", /tulle status -n NAMESPACE/],
    [/namespaces\/shop\/pods$/, "shop", "you may not list pods in namespace shop", /Role in namespace shop/],
    [/namespaces\/shop$/, "shop", "you may not get namespace shop", /Role in namespace shop/],
  ] as const)("%p", async (path, namespace, message, hint) => {
    meshIn("tulle-system");
    forbid(path);
    const asked = readMesh(cluster, { ...ALL, namespace });
    await expect(asked).rejects.toThrow(
      expect.objectContaining({ code: "may-not-look", message, hint: expect.stringMatching(hint), exitCode: 1 }),
    );
  });
});

/** What `tulle status` reads, from a real API server: when a label was written, and what RBAC lets a user of one namespace see. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Cluster, readMesh } from "../../src/install/index.ts";
import { type KubeClient, type KubeObject, resource } from "../../src/kube/index.ts";
import { meshReport } from "../../src/status/index.ts";
import { ApiServer } from "../kube/api-server.ts";
import { admin, certificateConnection, client, NAMESPACES, PODS, pod, systemClock } from "../kube/clients.ts";

interface RoleBinding extends KubeObject {
  readonly subjects: readonly { readonly kind: string; readonly apiGroup: string; readonly name: string }[];
  readonly roleRef: { readonly apiGroup: string; readonly kind: string; readonly name: string };
}
const RBAC = "rbac.authorization.k8s.io";
const ROLE_BINDINGS = resource<RoleBinding>(`${RBAC}/v1`, "RoleBinding", "rolebindings");

let server: ApiServer;
let root: KubeClient;
let alice: KubeClient;
const clusterOf = (of: KubeClient): Cluster => ({
  client: of,
  clock: systemClock,
  sleep: Bun.sleep,
  namespace: "tulle-system",
});
const ALL = { namespace: undefined, operatorNamespace: undefined };
/** The API server tells times in whole seconds: what is to be later is made in the next one. */
const nextSecond = () => Bun.sleep(1_100);

beforeAll(async () => {
  server = await ApiServer.start();
  root = admin(server);
  alice = client(certificateConnection(server, "alice"));
  await root.create(NAMESPACES, { metadata: { name: "shop" } });
  await root.create(PODS, pod("shop", "early"));
  await nextSecond();
  const labels = { "tulle.dev/inject": "enabled" };
  await root.patch(NAMESPACES, { name: "shop" }, { kind: "merge", value: { metadata: { labels } } });
  await nextSecond();
  await root.create(PODS, pod("shop", "late"));
  await root.create(ROLE_BINDINGS, {
    metadata: { namespace: "shop", name: "alice" },
    subjects: [{ kind: "User", apiGroup: RBAC, name: "alice" }],
    // The rules of `view`, which nobody puts together here.
    roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: "system:aggregate-to-view" },
  });
}, 120_000);

afterAll(async () => {
  for (const one of [root, alice]) one?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

test("a pod from before its namespace's label is told from one that the injector missed", async () => {
  const report = meshReport(await readMesh(clusterOf(root), ALL));
  expect(report.pods).toMatchObject([
    { namespace: "shop", name: "early", state: "unmeshed", cause: "before-label" },
    { namespace: "shop", name: "late", state: "unmeshed", cause: "injector-away" },
  ]);
  expect(report.controlPlane.problems.map(({ text }) => text)).toEqual([
    "there is no operator in namespace tulle-system",
  ]);
});

test("who may view one namespace learns which permission is missing, and sees that namespace", async () => {
  await expect(readMesh(clusterOf(alice), ALL)).rejects.toThrow(
    expect.objectContaining({ code: "may-not-look", message: "you may not list pods in all namespaces" }),
  );
  await expect(readMesh(clusterOf(alice), { ...ALL, namespace: "default" })).rejects.toThrow(
    expect.objectContaining({ message: "you may not list pods in namespace default" }),
  );
  const { pods, controlPlane } = meshReport(await readMesh(clusterOf(alice), { ...ALL, namespace: "shop" }));
  expect(pods.map(({ name }) => name)).toEqual(["early", "late"]);
  expect(controlPlane.unseen.map(({ part }) => part)).toEqual(["operator", "replicas", "leader", "injector"]);
  expect(controlPlane.unseen.at(-1)?.why).toContain('cannot get resource "mutatingwebhookconfigurations"');
});

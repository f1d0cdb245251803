/** The control plane: tokens with an audience, evictions under a budget, and crashes of its components. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ClusterNamespace, eventually, LocalCluster, pod, SHELL } from "../../support/cluster.ts";

const cluster = await LocalCluster.find();
const { node } = cluster;
let space: ClusterNamespace;

beforeAll(async () => {
  space = await cluster.namespace("control");
});
afterAll(() => space?.[Symbol.asyncDispose]());

interface TokenReview {
  readonly status: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly user: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
  };
}

async function review(token: string, audience: string): Promise<TokenReview["status"]> {
  const asked = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [audience] } };
  const answered = await cluster.kubectl(["create", "-o", "json", "-f", "-"], { input: JSON.stringify(asked) });
  return (JSON.parse(answered) as TokenReview).status;
}

test("a projected token is good for its own audience only, and names its pod", async () => {
  const token = { serviceAccountToken: { audience: "tulle", expirationSeconds: 600, path: "token" } };
  await space.apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "app" } },
    pod("token", {
      serviceAccountName: "app",
      containers: [{ ...SHELL, volumeMounts: [{ name: "token", mountPath: "/token" }] }],
      volumes: [{ name: "token", projected: { sources: [token] } }],
    }),
  );
  await space.ready(["token"]);
  const value = await space.exec("token", "cat", "/token/token");

  const accepted = await review(value, "tulle");
  expect(accepted.authenticated).toBe(true);
  expect(accepted.user.username).toBe(`system:serviceaccount:${space.name}:app`);
  expect(accepted.user.extra?.["authentication.kubernetes.io/pod-name"]).toEqual(["token"]);
  expect(accepted.user.extra?.["authentication.kubernetes.io/pod-uid"]).toEqual([
    await space.get("pod/token", ".metadata.uid"),
  ]);

  const refused = await review(value, "other");
  expect(refused.authenticated).toBeUndefined();
  expect(refused.error).toContain("audiences");
});

test("an eviction waits for the PodDisruptionBudget", async () => {
  await space.apply(
    {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: { name: "guarded" },
      spec: { minAvailable: 1, selector: { matchLabels: { app: "guarded" } } },
    },
    pod("guarded", { containers: [SHELL] }, { app: "guarded" }),
  );
  await space.ready(["guarded"]);
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "guarded", namespace: space.name } };
  const path = `/api/v1/namespaces/${space.name}/pods/guarded/eviction`;
  const evict = () => cluster.tryKubectl(["create", "--raw", path, "-f", "-"], { input: JSON.stringify(eviction) });

  // The controller counts a healthy pod a moment after the pod is.
  const refused = await eventually(async () => {
    const counted = await space.get("poddisruptionbudget/guarded", ".status.currentHealthy");
    return counted === "1" ? evict() : undefined;
  });
  expect(refused.stderr).toContain("disruption budget");
  await space.kubectl(["delete", "poddisruptionbudget/guarded"]);
  expect((await evict()).status).toBe(0);
  await space.kubectl(["wait", "--for=delete", "pod/guarded", "--timeout=30s"]);
});

describe("crashes", () => {
  test.each(["etcd", "kube-apiserver", "containerd", "kubelet"])(
    "after a crash of %s its pods still run and new ones start",
    async (component) => {
      const [before, after] = [`before-${component}`, `after-${component}`];
      await space.apply(pod(before, { containers: [SHELL] }));
      await space.ready([before]);
      await node.crash(component);
      await eventually(async () => {
        await space.apply(pod(after, { containers: [SHELL] }));
        return true;
      });
      await eventually(async () => {
        await space.ready([after, before]);
        return true;
      });
      expect(await space.get(`pod/${before}`, ".status.containerStatuses[0].restartCount")).toBe("0");
    },
    { timeout: 120_000 },
  );
});

/** Applying and taking away, against the fake API server: order, refusals, repetition. The real one judges test/install. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { KubeClient, type KubeObject } from "../kube/index.ts";
import { FakeApiServer } from "../testkit/fake-api-server.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { takeSnapshot } from "./check/snapshot.ts";
import type { Cluster, Progress } from "./cluster.ts";
import { probeInjection } from "./injection-probe.ts";
import { install, planUpgrade } from "./install.ts";
import type { AccessReview } from "./objects.ts";
import { waitUntilReady } from "./readiness.ts";
import { uninstall } from "./uninstall.ts";

const NS = "tulle-system";
let api: FakeApiServer;
let client: KubeClient;
let cluster: Cluster;
let lines: string[];
let progress: Progress;

beforeEach(async () => {
  api = await FakeApiServer.start();
  const clock = new FakeClock();
  client = new KubeClient({ connection: api.connection(), clock, agent: "test" });
  cluster = { client, clock, namespace: NS, sleep: async (span) => clock.advance(span) };
  lines = [];
  let step = "";
  progress = {
    step: (what) => {
      step = what;
    },
    done: (result) => lines.push(`${step}: ${result}`),
    note: (text) => lines.push(`! ${text}`),
  };
});

afterEach(async () => {
  client[Symbol.dispose]();
  await api[Symbol.asyncDispose]();
});

const OPTIONS = { roll: false, keepCa: false, timeout: 10_000 };
const PODS = "/api/v1/pods";
const SIDECAR = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy" }], containers: [{ name: "app" }] };

/** Puts an object into the cluster, fields beside the metadata included. */
function put(
  kind: string,
  namespace: string | undefined,
  name: string,
  rest: object = {},
  metadata: object = {},
): KubeObject {
  return api.storage.create(kind, namespace, { ...rest, metadata: { name, ...metadata } } as never);
}

function has(kind: string, namespace: string | undefined, name: string): boolean {
  try {
    api.storage.get(kind, namespace, name);
    return true;
  } catch {
    return false;
  }
}

/** Deployment `web` in namespace demo with one meshed pod, which goes when the Deployment is restarted. */
function meshedWeb(): void {
  put(
    "/api/v1/namespaces",
    undefined,
    "demo",
    {},
    { labels: { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" } },
  );
  const owner = (kind: string, of: KubeObject) => [
    { apiVersion: "apps/v1", kind, name: of.metadata.name, uid: of.metadata.uid, controller: true },
  ];
  const template = { spec: { containers: [{ name: "app" }] } };
  const web = put("/apis/apps/v1/deployments", "demo", "web", { spec: { template } });
  const set = put(
    "/apis/apps/v1/replicasets",
    "demo",
    "web-1",
    { spec: { template } },
    { ownerReferences: owner("Deployment", web) },
  );
  put(PODS, "demo", "web-1-a", { spec: SIDECAR }, { ownerReferences: owner("ReplicaSet", set) });
  api.storage.follow((event) => {
    if (
      event.kind === "/apis/apps/v1/deployments" &&
      event.object.metadata.name === "web" &&
      has(PODS, "demo", "web-1-a")
    )
      api.storage.delete(PODS, "demo", "web-1-a");
  });
}

describe("installing", () => {
  test("applies each object in its order, keeps the values, and changes nothing the second time", async () => {
    await install(cluster, { replicas: 3 }, progress);
    expect(lines[0]).toBe(`Namespace ${NS}: created`);
    expect(lines.at(-1)).toBe("ValidatingAdmissionPolicyBinding tulle-strict: created");
    expect(api.storage.get("/api/v1/configmaps", NS, "tulle-install")).toMatchObject({
      data: { "values.yaml": "replicas: 3\n" },
    });
    lines.length = 0;
    await install(cluster, { replicas: 3 }, progress);
    expect(lines.filter((line) => !line.endsWith(": unchanged"))).toEqual([]);
  });

  test("takes away what the new values no longer ask for, and nothing that is not ours", async () => {
    await install(cluster, { networkPolicy: { enabled: true } }, progress);
    put("/apis/monitoring.coreos.com/v1/podmonitors", NS, "tulle-operator", {}, { labels: { owner: "me" } });
    await install(cluster, {}, progress);
    expect(lines).toContain(`NetworkPolicy ${NS}/tulle-operator: deleted`);
    expect(has("/apis/monitoring.coreos.com/v1/podmonitors", NS, "tulle-operator")).toBeTrue();
  });

  test("leaves a namespace that somebody else made as it is", async () => {
    put("/api/v1/namespaces", undefined, NS, {}, { labels: { team: "a" } });
    await install(cluster, {}, progress);
    expect(api.storage.get("/api/v1/namespaces", undefined, NS).metadata.labels).toEqual({ team: "a" });
  });

  test("refuses beside Helm, and beside a mesh in another namespace", async () => {
    await install(cluster, {}, progress);
    await expect(install({ ...cluster, namespace: "other" }, {}, progress)).rejects.toThrow(
      expect.objectContaining({ code: "other-namespace" }),
    );
    const deployment = api.storage.get("/apis/apps/v1/deployments", NS, "tulle-operator");
    const annotations = { "meta.helm.sh/release-name": "tulle" };
    api.storage.update("/apis/apps/v1/deployments", NS, "tulle-operator", {
      ...deployment,
      metadata: { ...deployment.metadata, annotations },
    });
    await expect(install(cluster, {}, progress)).rejects.toThrow(expect.objectContaining({ code: "helm-manages" }));
  });

  test("gives up when nothing becomes ready, and says what it waited for", async () => {
    await install(cluster, {}, progress);
    await expect(waitUntilReady(cluster, progress, 5_000)).rejects.toThrow(
      expect.objectContaining({
        code: "not-ready",
        message: expect.stringContaining("0 of 2 replicas are up to date"),
      }),
    );
  });
});

test("does not say that injection works when it could not be tried", async () => {
  await install(cluster, {}, progress);
  const change = (kind: string, namespace: string | undefined, name: string, fields: object) =>
    api.storage.update(kind, namespace, name, { ...api.storage.get(kind, namespace, name), ...fields } as never);
  change("/apis/apps/v1/deployments", NS, "tulle-operator", {
    status: { observedGeneration: 99, replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
  });
  put("/api/v1/configmaps", NS, "tulle-trust-bundle");
  change("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", undefined, "tulle-injector", {
    webhooks: [{ name: "a", clientConfig: { caBundle: "AAAA" } }],
  });
  api.intercept = ({ method, path }) =>
    method === "POST" && path.endsWith("/pods")
      ? { status: 403, body: { reason: "Forbidden", code: 403, message: "exceeded quota" } }
      : undefined;
  await waitUntilReady(cluster, progress, 5_000);
  expect(lines).toContain("webhook certificate: trusted");
  expect(lines.at(-1)).toContain("exceeded quota");
});

test("asks for rights in the operator's namespace alone, where the kind has one", async () => {
  const asked = new Map<string, string | undefined>();
  api.intercept = ({ path, body }) => {
    if (path === "/version") return { status: 200, body: { gitVersion: "v1.34.1", major: "1", minor: "34" } };
    if (path.endsWith("/v1")) return { status: 200, body: { resources: [] } };
    if (!path.endsWith("/selfsubjectaccessreviews")) return undefined;
    const { resource, namespace } = (body as AccessReview).spec.resourceAttributes;
    asked.set(resource, namespace);
    return undefined;
  };
  await takeSnapshot(cluster, "0.1.0");
  expect(asked.get("deployments")).toBe(NS);
  expect(asked.has("clusterroles")).toBeTrue();
  expect(asked.get("clusterroles")).toBeUndefined();
});

describe("trying injection", () => {
  const refused = (message: string) => () => ({ status: 403, body: { reason: "Forbidden", code: 403, message } });

  test("takes a refusal of Pod Security for what the injector added as its work", async () => {
    api.intercept = refused('violates PodSecurity "baseline": container "tulle-init" must not include "NET_ADMIN"');
    expect((await probeInjection(cluster, "demo")).outcome).toBe("injected");
  });

  test("takes a refusal of the strict policy as a pod that was not injected", async () => {
    api.intercept = refused("ValidatingAdmissionPolicy 'tulle-strict' denied request: the injector did not answer");
    expect((await probeInjection(cluster, "demo")).outcome).toBe("not-injected");
  });

  test("does not know what another refusal means", async () => {
    api.intercept = refused("exceeded quota");
    expect((await probeInjection(cluster, "demo")).outcome).toBe("unknown");
  });
});

describe("upgrading", () => {
  test("refuses where nothing is installed", async () => {
    await expect(planUpgrade(cluster, {}, false)).rejects.toThrow(expect.objectContaining({ code: "not-installed" }));
  });

  test("takes the recorded values with the given ones over them", async () => {
    await install(cluster, { replicas: 3, logLevel: "debug" }, progress);
    expect((await planUpgrade(cluster, { replicas: 4 }, false)).given).toEqual({ replicas: 4, logLevel: "debug" });
    expect((await planUpgrade(cluster, {}, true)).given).toEqual({});
  });

  test("without a record asks for the values rather than forgetting them", async () => {
    await install(cluster, {}, progress);
    api.storage.delete("/api/v1/configmaps", NS, "tulle-install");
    await expect(planUpgrade(cluster, {}, false)).rejects.toThrow(
      expect.objectContaining({ code: "no-record", exitCode: 2 }),
    );
  });
});

describe("uninstalling", () => {
  /** What was deleted, oldest first. */
  const deletions = () =>
    api.requests
      .filter((one) => one.method === "DELETE")
      .map((one) => one.path.replace(/.*\/([^/]+)\/([^/]+)$/, "$1/$2"));

  async function installed(): Promise<void> {
    await install(cluster, {}, progress);
    put("/api/v1/secrets", NS, "tulle-ca");
    put("/apis/coordination.k8s.io/v1/leases", NS, "tulle-operator");
    for (const name of [NS, "default"]) put("/api/v1/configmaps", name, "tulle-trust-bundle");
    put("/api/v1/configmaps", "default", "somebody-elses");
    lines.length = 0;
  }

  test("deletes what judges new pods first, then the operator, then what it wrote", async () => {
    await installed();
    await uninstall(cluster, OPTIONS, progress);
    expect(deletions().slice(0, 4)).toEqual([
      "mutatingwebhookconfigurations/tulle-injector",
      "validatingadmissionpolicybindings/tulle-strict",
      "validatingadmissionpolicies/tulle-strict",
      "deployments/tulle-operator",
    ]);
    expect(deletions().at(-1)).toBe(`namespaces/${NS}`);
    expect(has("/api/v1/secrets", NS, "tulle-ca")).toBeFalse();
    expect(has("/api/v1/configmaps", "default", "tulle-trust-bundle")).toBeFalse();
    expect(has("/api/v1/configmaps", "default", "somebody-elses")).toBeTrue();
  });

  test("touches nothing while a pod is meshed, and names it", async () => {
    await installed();
    meshedWeb();
    await expect(uninstall(cluster, OPTIONS, progress)).rejects.toThrow(
      expect.objectContaining({
        code: "meshed-pods",
        message: expect.stringContaining("demo/web-1-a (Deployment web)"),
      }),
    );
    expect(deletions()).toEqual([]);
  });

  test("touches nothing when another namespace holds the mesh, even with --roll", async () => {
    await installed();
    meshedWeb();
    await expect(uninstall({ ...cluster, namespace: "other" }, { ...OPTIONS, roll: true }, progress)).rejects.toThrow(
      expect.objectContaining({ code: "other-namespace" }),
    );
    expect(deletions()).toEqual([]);
    expect(lines).toEqual([]);
  });

  test("goes on in the namespace of a removal that stopped after the injector was gone", async () => {
    await installed();
    api.storage.delete(
      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
      undefined,
      "tulle-injector",
    );
    await expect(uninstall({ ...cluster, namespace: "other" }, OPTIONS, progress)).rejects.toThrow(
      expect.objectContaining({ code: "other-namespace" }),
    );
    expect(has("/apis/apps/v1/deployments", NS, "tulle-operator")).toBeTrue();
    await uninstall(cluster, OPTIONS, progress);
    expect(has("/apis/apps/v1/deployments", NS, "tulle-operator")).toBeFalse();
  });

  test("with --roll lets plaintext in, then unlabels, then restarts, each after the webhook is gone", async () => {
    await installed();
    meshedWeb();
    await uninstall(cluster, { ...OPTIONS, roll: true }, progress);
    const order = [
      "plaintext between pods",
      "MutatingWebhookConfiguration",
      "Namespace demo",
      "Deployment demo/web",
      "meshed pods",
      `Deployment ${NS}`,
    ];
    const places = order.map((word) => lines.findIndex((line) => line.startsWith(word)));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(Math.min(...places)).toBeGreaterThanOrEqual(0);
    expect(api.storage.get("/api/v1/namespaces", undefined, "demo").metadata.labels).toEqual({});
  });

  test("with --roll keeps plaintext let in until the last pod is out of the mesh", async () => {
    await installed();
    meshedWeb();
    const modes: unknown[] = [];
    api.storage.follow((event) => {
      if (event.kind === PODS && event.type === "DELETED")
        modes.push(api.storage.get("/api/v1/namespaces", undefined, "demo").metadata.labels?.["tulle.dev/mode"]);
    });
    await uninstall(cluster, { ...OPTIONS, roll: true }, progress);
    expect(modes).toEqual(["permissive"]);
  });

  test("with --roll reads a controller once, however long its pods take", async () => {
    await installed();
    meshedWeb();
    put(PODS, "demo", "slow", { spec: SIDECAR });
    let looks = 0;
    const sleep = async (span: number) => {
      await cluster.sleep(span);
      looks += 1;
      if (looks === 5) api.storage.delete(PODS, "demo", "slow");
    };
    const slow = api.storage.get(PODS, "demo", "slow");
    const { ownerReferences } = api.storage.get(PODS, "demo", "web-1-a").metadata;
    api.storage.update(PODS, "demo", "slow", { ...slow, metadata: { ...slow.metadata, ownerReferences } } as never);
    await uninstall({ ...cluster, sleep }, { ...OPTIONS, roll: true }, progress);
    expect(looks).toBeGreaterThan(4);
    const reads = api.requests.filter((one) => one.method === "GET" && one.path.endsWith("/replicasets/web-1"));
    expect(reads.length).toBe(1);
  });

  test("with --roll stops before the operator when a meshed pod is made again by nobody", async () => {
    await installed();
    put("/api/v1/namespaces", undefined, "demo");
    put(PODS, "demo", "bare", { spec: SIDECAR });
    await expect(uninstall(cluster, { ...OPTIONS, roll: true }, progress)).rejects.toThrow(
      expect.objectContaining({ code: "meshed-pods", message: expect.stringContaining("demo/bare (no controller)") }),
    );
    expect(has("/apis/apps/v1/deployments", NS, "tulle-operator")).toBeTrue();
    expect(
      has("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", undefined, "tulle-injector"),
    ).toBeFalse();
  });

  test("with --roll does not wait for a controller that replaces no pod", async () => {
    await installed();
    meshedWeb();
    const deployments = "/apis/apps/v1/deployments";
    const { ownerReferences } = api.storage.get(PODS, "demo", "web-1-a").metadata;
    const web = api.storage.get(deployments, "demo", "web") as KubeObject & { spec: object };
    api.storage.update(deployments, "demo", "web", { ...web, spec: { ...web.spec, paused: true } } as never);
    put(PODS, "demo", "web-1-c", { spec: SIDECAR }, { ownerReferences });
    const before = cluster.clock.now();
    await expect(uninstall(cluster, { ...OPTIONS, timeout: 600_000, roll: true }, progress)).rejects.toThrow(
      expect.objectContaining({
        code: "meshed-pods",
        message: expect.stringContaining("demo/web-1-c (Deployment web)"),
      }),
    );
    expect(cluster.clock.now() - before).toBeLessThan(60_000);
    expect(lines.filter((line) => line.includes("paused"))).toHaveLength(1);
  });

  test("with --keep-ca keeps the CA, its namespace and the bundle beside it", async () => {
    await installed();
    await uninstall(cluster, { ...OPTIONS, keepCa: true }, progress);
    expect(has("/api/v1/secrets", NS, "tulle-ca")).toBeTrue();
    expect(has("/api/v1/configmaps", NS, "tulle-trust-bundle")).toBeTrue();
    expect(has("/api/v1/namespaces", undefined, NS)).toBeTrue();
    expect(has("/api/v1/configmaps", "default", "tulle-trust-bundle")).toBeFalse();
  });

  test("can be repeated, and says nothing where nothing is", async () => {
    await installed();
    await uninstall(cluster, OPTIONS, progress);
    lines.length = 0;
    await uninstall(cluster, OPTIONS, progress);
    expect(lines).toEqual([]);
  });

  test("counts no pod that has finished as meshed", async () => {
    await installed();
    put(PODS, "demo", "job-1", { spec: SIDECAR, status: { phase: "Succeeded" } });
    await uninstall(cluster, OPTIONS, progress);
    expect(lines).toContain(`Namespace ${NS}: deleted`);
  });
});

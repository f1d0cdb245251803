/**
 * An installation from its first check to its last trace, on a real cluster and with the real operator; the steps build on
 * each other. The cluster must have none, and is left without one. `make install-check`.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CHART, helm } from "../chart/helm.ts";
import { type Cluster, type ClusterNamespace, eventually, LocalCluster, run } from "../support/cluster.ts";
import { sleeper, Tulle } from "./tulle.ts";

const LOAD = `${import.meta.dir}/../cluster/load.sh`;
const ARCHIVE = `${import.meta.dir}/../../dist/tulle-image.tar`;
let cluster: Cluster;
let tulle: Tulle;
/** Wants the mesh. */
let meshed: ClusterNamespace;
let root = "";

beforeAll(async () => {
  cluster = await LocalCluster.find();
  await run([LOAD, ARCHIVE]);
  tulle = new Tulle(cluster);
  await tulle.run("uninstall", "--roll", "--yes");
  meshed = await cluster.namespace("meshed");
}, 120_000);

afterAll(async () => {
  await tulle.try("uninstall", "--roll", "--yes");
  await cluster.tryKubectl(["delete", "namespace", "tulle-system", "--ignore-not-found"]);
  await meshed[Symbol.asyncDispose]();
}, 120_000);

const kubectl = (...args: readonly string[]) => cluster.kubectl(args);
const jsonpath = (path: string, ...args: readonly string[]) => kubectl("get", ...args, "-o", `jsonpath=${path}`);

function bundle(): Promise<string> {
  return jsonpath("{.data.root-cert\\.pem}", "-n", "tulle-system", "configmap", "tulle-trust-bundle");
}

function initContainers(namespace: string): Promise<string> {
  return jsonpath("{.items[*].spec.initContainers[*].name}", "-n", namespace, "pods");
}

/** Asks for a pod in a dry run; answers what came of it. */
function tryPod(namespace: string, labels: Readonly<Record<string, string>> = {}, spec: object = {}) {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "try", namespace, labels },
    spec: { containers: [{ name: "app", image: "ubuntu:local" }], ...spec },
  };
  const args = ["create", "--dry-run=server", "-o", "jsonpath={.spec.initContainers[*].name}", "-f", "-"];
  return cluster.tryKubectl(args, { input: JSON.stringify(pod) });
}

describe("1: before the installation", () => {
  test("check --pre finds nothing wrong", async () => {
    const lines = await tulle.check("--pre");
    expect([...lines.values()].filter((line) => line.verdict !== "pass")).toEqual([]);
  });

  test("check says that there is none, with exit code 1", async () => {
    const { status, stdout } = await tulle.try("check");
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: expect.stringContaining("there is no operator in namespace tulle-system"),
    });
  });

  test.each([[[]], [["--ha"]], [["--set", "mesh.mode=strict", "--set", "injection.allowEviction=true"]]])(
    "the API server takes every printed object, strictly: install %j",
    async (flags) => {
      // The namespace of a dry run is not there for the next object of it.
      const printed = await tulle.run("install", "-n", "default", "--set", "namespace.create=false", ...flags);
      const args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
      const { status, stderr, stdout } = await cluster.tryKubectl(args, { input: printed });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toContain("validatingadmissionpolicybinding.admissionregistration.k8s.io/tulle-strict created");
    },
  );
});

describe("2: tulle install --wait", () => {
  test("ends when a new pod would be meshed, and tells each object and step", async () => {
    const said = await tulle.run("install", "--wait", "--timeout", "90s");
    expect(said).toMatch(/^Deployment tulle-system\/tulle-operator\s+created$/m);
    expect(said).toMatch(/^injection\s+works$/m);
    expect(said).not.toContain("\u001b");
    root = await bundle();
    expect(root).toContain("BEGIN CERTIFICATE");
  }, 120_000);

  test("leaves a mesh in which every check passes", async () => {
    const lines = await tulle.check();
    expect([...lines.values()].filter((line) => line.verdict !== "pass")).toEqual([]);
  });

  test("changes nothing when it is run again, and kubectl sees no difference to what it prints", async () => {
    const said = await tulle.run("install", "--wait");
    expect(said).not.toMatch(/ (created|changed|deleted)$/m);
    const printed = await tulle.run("install");
    for (const flags of [[], ["--server-side"]]) {
      const { status, stdout, stderr } = await cluster.tryKubectl(["diff", ...flags, "-f", "-"], { input: printed });
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    }
  });

  test("the operator holds no Secret but its own, no ConfigMap but its own", async () => {
    const as = "--as=system:serviceaccount:tulle-system:tulle-operator";
    const can = async (...what: readonly string[]) =>
      (await cluster.tryKubectl(["auth", "can-i", ...what, as])).stdout.trim();
    expect(await can("get", "secrets", "-A")).toBe("no");
    expect(await can("get", "secrets", "-n", "tulle-system")).toBe("no");
    expect(await can("get", "secret/tulle-ca", "-n", "tulle-system")).toBe("yes");
    expect(await can("get", "configmaps", "-n", "kube-system")).toBe("no");
    expect(await can("patch", "configmap/tulle-trust-bundle", "-n", "kube-system")).toBe("yes");
    expect(await can("create", "pods/eviction", "-A")).toBe("no");
    expect(await can("update", "mutatingwebhookconfigurations")).toBe("no");
  });

  test("refuses another namespace: a cluster holds one mesh", async () => {
    const { status, stderr } = await tulle.try("install", "--wait", "-n", "elsewhere");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining("is installed in namespace tulle-system"),
    });
  });
});

describe("3: who is injected, and who is refused", () => {
  const OURS = "tulle-init tulle-proxy";

  test("a labelled namespace's pods are, and check finds those that were there before", async () => {
    await meshed.apply(sleeper("early"));
    await meshed.ready(["deployment/early"], "condition=Available");
    await kubectl("label", "namespace", meshed.name, "tulle.dev/inject=enabled");
    expect(
      (
        await eventually(async () => {
          const line = (await tulle.check()).get("unmeshed-pods");
          return line?.verdict === "warn" ? line : undefined;
        })
      ).findings[0]?.fix,
    ).toContain(`kubectl rollout restart deployment,statefulset,daemonset -n ${meshed.name}`);
    await meshed.apply(sleeper("web"));
    await meshed.ready(["deployment/web"], "condition=Available");
    expect(await initContainers(meshed.name)).toContain(OURS);
  }, 60_000);

  test("both labels: yes and no of the pod count in a namespace that wants it or says nothing", async () => {
    await using silent = await cluster.namespace("silent");
    await using never = await cluster.namespace("never");
    await kubectl("label", "namespace", never.name, "tulle.dev/inject=disabled");
    const yes = { "tulle.dev/inject": "enabled" };
    const no = { "tulle.dev/inject": "disabled" };
    const of = async (namespace: string, labels: Readonly<Record<string, string>> = {}) =>
      (await tryPod(namespace, labels)).stdout;
    expect(await of(meshed.name)).toBe(OURS);
    expect(await of(meshed.name, no)).toBe("");
    expect(await of(silent.name)).toBe("");
    expect(await of(silent.name, yes)).toBe(OURS);
    expect(await of(never.name, yes)).toBe("");
    expect(await of("kube-system", yes)).toBe("");
    expect((await tryPod(meshed.name, {}, { hostNetwork: true })).stdout).toBe("");
  });

  test("a strict namespace takes meshed pods and those of the node's network, and says what to do of others", async () => {
    await using strict = await cluster.namespace("strict");
    await kubectl("label", "namespace", strict.name, "tulle.dev/mode=strict");
    const refused = await eventually(async () => {
      const { status, stderr } = await tryPod(strict.name);
      return status === 0 ? undefined : stderr;
    });
    expect(refused).toContain(`namespace ${strict.name} is strict`);
    expect(refused).toContain("label the namespace tulle.dev/inject=enabled");
    expect((await tryPod(strict.name, {}, { hostNetwork: true })).status).toBe(0);
    await kubectl("label", "namespace", strict.name, "tulle.dev/inject=enabled");
    expect(await eventually(async () => (await tryPod(strict.name)).stdout || undefined)).toBe(OURS);
    expect((await tryPod(strict.name, { "tulle.dev/inject": "disabled" })).stderr).toContain("take the label away");
  }, 60_000);

  test("exempt namespaces cannot be stopped by a label", async () => {
    for (const name of ["kube-system", "tulle-system"])
      await kubectl("label", "namespace", name, "tulle.dev/mode=strict");
    try {
      await Bun.sleep(2_000);
      expect((await tryPod("kube-system")).status).toBe(0);
      await kubectl("-n", "tulle-system", "rollout", "restart", "deployment/tulle-operator");
      await kubectl("-n", "tulle-system", "rollout", "status", "deployment/tulle-operator", "--timeout=60s");
    } finally {
      for (const name of ["kube-system", "tulle-system"]) await kubectl("label", "namespace", name, "tulle.dev/mode-");
    }
  }, 100_000);
});

describe("4: with the operator away", () => {
  test("strict namespaces refuse, others let through; check fails; the operator comes back by itself", async () => {
    await using strict = await cluster.namespace("strict");
    await kubectl("label", "namespace", strict.name, "tulle.dev/mode=strict", "tulle.dev/inject=enabled");
    await kubectl("-n", "tulle-system", "scale", "deployment/tulle-operator", "--replicas=0");
    try {
      const refusal = await eventually(async () => {
        const { status, stderr } = await tryPod(strict.name);
        return status === 0 ? undefined : stderr;
      });
      expect(refusal).toContain("the injector did not answer");
      expect(await tryPod(meshed.name)).toMatchObject({ status: 0, stdout: "" });
      const lines = await tulle.check();
      expect(lines.get("injection")).toMatchObject({ verdict: "fail" });
    } finally {
      await kubectl("-n", "tulle-system", "scale", "deployment/tulle-operator", "--replicas=2");
      await kubectl("-n", "tulle-system", "rollout", "status", "deployment/tulle-operator", "--timeout=60s");
    }
    await eventually(async () => ((await tryPod(strict.name)).stdout === "tulle-init tulle-proxy" ? true : undefined));
  }, 110_000);
});

describe("5: what is around the mesh", () => {
  test("check finds Pod Security, NetworkPolicies and webhooks that stand in its way, each with the fix", async () => {
    await using hard = await cluster.namespace("hard");
    await kubectl(
      "label",
      "namespace",
      hard.name,
      "tulle.dev/inject=enabled",
      "pod-security.kubernetes.io/enforce=baseline",
    );
    await using walled = await cluster.namespace("walled");
    await walled.apply(sleeper("behind", { "tulle.dev/inject": "enabled" }), {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "deny-all" },
      spec: { podSelector: {}, policyTypes: ["Ingress"] },
    });
    await using strict = await cluster.namespace("strict");
    await kubectl("label", "namespace", strict.name, "tulle.dev/inject=enabled", "tulle.dev/mode=strict");
    const webhook = {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: `judge-${strict.name}` },
      webhooks: [
        {
          name: "judge.example.com",
          clientConfig: { service: { namespace: strict.name, name: "judge" } },
          rules: [{ apiGroups: ["example.com"], apiVersions: ["v1"], resources: ["things"], operations: ["CREATE"] }],
          failurePolicy: "Ignore",
          sideEffects: "None",
          admissionReviewVersions: ["v1"],
        },
      ],
    };
    strict.owns(`validatingwebhookconfiguration/${webhook.metadata.name}`);
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "judge" },
      spec: { selector: { app: "judge" }, ports: [{ port: 443 }] },
    };
    await strict.apply(sleeper("judge"), service, webhook);
    const lines = await eventually(async () => {
      const found = await tulle.check();
      return ["pod-security", "network-policies", "strict-services"].every((id) => found.get(id)?.verdict === "fail")
        ? found
        : undefined;
    });
    expect(lines.get("pod-security")?.findings[0]?.fix).toContain(`kubectl label namespace ${hard.name}`);
    expect(lines.get("network-policies")?.findings[0]?.text).toContain("deny-all");
    expect(lines.get("strict-services")?.findings[0]?.fix).toContain("tulle.dev/skip-inbound-ports");
    const { status, stdout } = await tulle.try("check");
    expect(status).toBe(1);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  }, 60_000);
});

describe("6: tulle upgrade", () => {
  test("shows what would change, changes it, and keeps the values for the next time", async () => {
    const shown = await tulle.run("upgrade", "--dry-run", "--set", "replicas=3");
    expect(shown).toContain("~ Deployment tulle-system/tulle-operator\n    spec.replicas\n      2 → 3\n");
    expect(await jsonpath("{.spec.replicas}", "-n", "tulle-system", "deployment", "tulle-operator")).toBe("2");
    await tulle.run("upgrade", "--set", "replicas=3", "--set", "podDisruptionBudget.enabled=false");
    expect(await jsonpath("{.spec.replicas}", "-n", "tulle-system", "deployment", "tulle-operator")).toBe("3");
    expect((await cluster.tryKubectl(["-n", "tulle-system", "get", "pdb", "tulle-operator"])).status).toBe(1);
    expect(await tulle.run("upgrade", "--dry-run")).toContain("Nothing changes.");
    expect(await tulle.run("upgrade", "--reset-values")).toContain("+ PodDisruptionBudget tulle-system/tulle-operator");
    expect(await bundle()).toBe(root);
  }, 110_000);
});

describe("7: tulle uninstall", () => {
  test("refuses while pods are meshed, names them, and touches nothing", async () => {
    const { status, stderr } = await tulle.try("uninstall", "--yes");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(new RegExp(`${meshed.name}/web-.* \\(Deployment web\\)`)),
    });
    expect((await tulle.check()).get("operator")?.verdict).toBe("pass");
  });

  test("asks before it deletes the CA, and refuses where nobody can be asked", async () => {
    expect(await tulle.try("uninstall", "--roll")).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--keep-ca"),
    });
  });

  test("--roll makes the pods anew without sidecar; --keep-ca keeps the root for the next installation", async () => {
    const said = await tulle.run("uninstall", "--roll", "--keep-ca");
    expect(said).toMatch(new RegExp(`^Deployment ${meshed.name}/web\\s+restarted$`, "m"));
    await meshed.ready(["deployment/web"], "condition=Available");
    expect(await eventually(async () => ((await initContainers(meshed.name)) === "" ? "none" : undefined))).toBe(
      "none",
    );
    expect(await kubectl("get", "namespaces", "-l", "tulle.dev/inject")).toBe("");
    await tulle.run("install", "--wait");
    expect(await bundle()).toBe(root);
  }, 110_000);

  test("leaves nothing, and pods can be created", async () => {
    await tulle.run("uninstall", "--yes");
    await eventually(async () =>
      (await cluster.tryKubectl(["get", "namespace", "tulle-system"])).status === 1 ? true : undefined,
    );
    const kinds = (await kubectl("api-resources", "--verbs=list", "-o", "name")).trim().split("\n");
    const noise = /^(events|pods\.metrics)/;
    const left = await kubectl(
      "get",
      kinds.filter((kind) => !noise.test(kind)).join(","),
      "-A",
      "-o",
      "name",
      "--ignore-not-found",
    );
    expect(left.split("\n").filter((name) => /tulle/.test(name))).toEqual([]);
    expect((await tryPod(meshed.name)).status).toBe(0);
    expect((await tulle.try("uninstall", "--yes")).status).toBe(0);
  }, 110_000);
});

describe("8: by Helm", () => {
  const flags = () => ["--namespace", "tulle-system", "--kubeconfig", cluster.kubeconfig];

  test("helm install gives a mesh in which every check passes, and tulle keeps its hands off", async () => {
    const { status, stderr } = await helm(
      "install",
      "tulle",
      CHART,
      ...flags(),
      "--create-namespace",
      "--wait",
      "--timeout",
      "60s",
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    await eventually(async () => ((await tulle.try("check")).status === 0 ? true : undefined));
    expect(await tulle.try("install", "--wait")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("helm upgrade tulle"),
    });
  }, 110_000);

  test("helm upgrade keeps the caBundle and the CA", async () => {
    const path = "{.webhooks[*].clientConfig.caBundle}";
    const before = await jsonpath(path, "mutatingwebhookconfiguration", "tulle-injector");
    const root = await bundle();
    const { status, stderr } = await helm(
      "upgrade",
      "tulle",
      CHART,
      ...flags(),
      "--set",
      "logLevel=debug",
      "--wait",
      "--timeout",
      "60s",
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(before).not.toBe("");
    expect(await jsonpath(path, "mutatingwebhookconfiguration", "tulle-injector")).toBe(before);
    expect(await bundle()).toBe(root);
  }, 110_000);

  test("after helm uninstall, tulle uninstall removes what the operator had made", async () => {
    const { status, stderr } = await helm("uninstall", "tulle", ...flags(), "--wait");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect((await tryPod(meshed.name)).status).toBe(0);
    await tulle.run("uninstall", "--yes");
    const left = await kubectl("get", "configmap,secret,lease", "-A", "-o", "name");
    expect(left.split("\n").filter((name) => /tulle/.test(name))).toEqual([]);
    await kubectl("delete", "namespace", "tulle-system");
  }, 110_000);
});

import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { Authority } from "../../identity/index.ts";
import { INJECTOR_WEBHOOKS } from "../../mesh/index.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import type { Pod } from "../objects.ts";
import { Unseen } from "../seen.ts";
import { CHECKS, runChecks } from "./run.ts";
import { selects } from "./selector.ts";
import type { Snapshot } from "./snapshot.ts";

const clock = new FakeClock();
const authority = Authority.create({ clock, random: new SeededRandom(1), trustDomain: "cluster.local" as never });
const PEM = authority.bundle().pem();
const LABELS = { "app.kubernetes.io/version": "0.1.0" };

function namespace(name: string, labels: Readonly<Record<string, string>> = {}) {
  return { metadata: { name, labels } };
}

function pod(name: string, more: Partial<Pod["metadata"]> = {}, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    metadata: { name, namespace: "demo", labels: { app: name }, ...more },
    spec: { containers: [{ name: "app" }], ...spec },
  };
}

const SIDECAR = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] };

/** A cluster in which all is well, with one meshed pod. */
function healthy(): Snapshot {
  const bundle = (name: string) => ({
    metadata: { name: "tulle-trust-bundle", namespace: name },
    data: { "root-cert.pem": PEM },
  });
  const caBundle = Buffer.from(PEM).toString("base64");
  return {
    now: clock.now(),
    version: "0.1.0",
    namespace: "tulle-system",
    server: { gitVersion: "v1.34.1", major: 1, minor: 34 },
    policiesServed: true,
    access: [{ verb: "create", group: "", resource: "services", allowed: true }],
    namespaces: [namespace("tulle-system"), namespace("demo", { "tulle.dev/inject": "enabled" })],
    nodes: [
      {
        metadata: { name: "n1" },
        status: {
          nodeInfo: { kernelVersion: "6.1.0", operatingSystem: "linux", architecture: "amd64", osImage: "Debian" },
        },
      },
    ],
    pods: [pod("web", {}, SIDECAR)],
    services: [],
    networkPolicies: [],
    webhooks: [],
    apiServices: [],
    installation: { namespace: "tulle-system", version: "0.1.0", helmRelease: undefined },
    operator: {
      metadata: { name: "tulle-operator", labels: LABELS },
      spec: { replicas: 2, template: { spec: { containers: [{ name: "operator", args: ["--mode=permissive"] }] } } },
      status: { replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
    },
    injector: {
      metadata: { name: "tulle-injector" },
      webhooks: INJECTOR_WEBHOOKS.map((name) => ({ name, clientConfig: { caBundle }, failurePolicy: "Ignore" })),
    },
    bindings: [
      { metadata: { name: "tulle-strict" }, spec: { policyName: "tulle-strict", validationActions: ["Deny"] } },
    ],
    bundles: [bundle("tulle-system"), bundle("demo")],
    caSecret: { metadata: { name: "tulle-ca" } },
    probe: { outcome: "injected" },
  };
}

/** What one check says of the healthy cluster with something changed. */
function said(id: string, change: Partial<Snapshot>, phase: "before" | "after" = "after") {
  const result = runChecks({ ...healthy(), ...change }, phase).find((one) => one.id === id);
  if (result === undefined) throw new Error(`no check ${id}`);
  const [finding] = result.findings;
  return [result.verdict, finding?.text ?? "", finding?.fix ?? ""] as const;
}

describe("the list of checks", () => {
  test("passes a healthy mesh", () => {
    expect(runChecks(healthy(), "after").filter((one) => one.verdict !== "pass")).toEqual([]);
  });

  test("passes a cluster that is fit for one", () => {
    const empty = {
      installation: undefined,
      operator: undefined,
      injector: undefined,
      probe: undefined,
      bundles: [],
      bindings: [],
    };
    expect(runChecks({ ...healthy(), ...empty }, "before").filter((one) => one.verdict !== "pass")).toEqual([]);
  });

  test("has each id once", () => {
    expect(new Set(CHECKS.map((one) => one.id)).size).toBe(CHECKS.length);
  });

  test("warns where something may not be looked at, and judges the rest", () => {
    const unseen = new Unseen("pods is forbidden");
    expect(said("unmeshed-pods", { pods: unseen })[0]).toBe("warn");
    expect(said("kubernetes-version", { pods: unseen })[0]).toBe("pass");
  });

  test("says one thing of a mesh that is not there", () => {
    const results = runChecks({ ...healthy(), operator: undefined, injector: undefined, bundles: [] }, "after");
    expect(results.filter((one) => one.verdict === "fail").map((one) => one.id)).toEqual(["operator"]);
  });
});

describe("before an installation", () => {
  test("refuses Kubernetes 1.29, takes 1.30 and 2.0", () => {
    const of = (major: number, minor: number) =>
      said("kubernetes-version", { server: { gitVersion: "v", major, minor } })[0];
    expect([of(1, 29), of(1, 30), of(2, 0)]).toEqual(["fail", "pass", "pass"]);
  });

  test("names the rights that the installer lacks", () => {
    const access = [{ verb: "create", group: "", resource: "services", allowed: false }];
    expect(said("installer-rights", { access }, "before")).toEqual([
      "fail",
      "you may not create services",
      expect.any(String),
    ]);
    const escalate = [{ verb: "escalate", group: "", resource: "clusterroles", allowed: false }];
    expect(said("installer-rights", { access: escalate }, "before")[0]).toBe("warn");
  });

  test("finds another installation, and the one that Helm made", () => {
    const installation = { namespace: "elsewhere", version: "0.1.0", helmRelease: undefined };
    expect(said("one-mesh", { installation }, "before")[0]).toBe("fail");
    const byHelm = { namespace: "tulle-system", version: "0.1.0", helmRelease: "tulle" };
    expect(said("one-mesh", { installation: byHelm }, "before")).toEqual([
      "warn",
      expect.any(String),
      "Use helm upgrade tulle.",
    ]);
  });

  test("hints at legacy iptables on old kernels, and at nodes that cannot run the image", () => {
    const node = (nodeInfo: object) => ({
      metadata: { name: "n" },
      status: {
        nodeInfo: { kernelVersion: "6.1", operatingSystem: "linux", architecture: "amd64", osImage: "", ...nodeInfo },
      },
    });
    expect(said("nodes", { nodes: [node({ kernelVersion: "3.10.0-1160.el7" })] })[2]).toContain(
      "injection.legacyIptables=true",
    );
    expect(said("nodes", { nodes: [node({ architecture: "s390x" })] })[0]).toBe("fail");
    expect(said("nodes", { nodes: [node({ operatingSystem: "windows" })] })[0]).toBe("warn");
  });
});

describe("what is around the mesh", () => {
  test.each([
    ["baseline", "fail"],
    ["restricted", "fail"],
    ["privileged", "pass"],
  ] as const)("Pod Security level %s of a labelled namespace: %s", (level, verdict) => {
    const labels = { "tulle.dev/inject": "enabled", "pod-security.kubernetes.io/enforce": level };
    expect(said("pod-security", { namespaces: [namespace("demo", labels)] })[0]).toBe(verdict);
  });

  test("Pod Security counts where a pod alone wants the mesh, and not where nothing does", () => {
    const namespaces = [namespace("demo", { "pod-security.kubernetes.io/enforce": "restricted" })];
    expect(said("pod-security", { namespaces })[0]).toBe("pass");
    const pods = [pod("web", { labels: { "tulle.dev/inject": "enabled" } })];
    expect(said("pod-security", { namespaces, pods })[0]).toBe("fail");
  });

  const policy = (spec: object) => [
    { metadata: { name: "wall", namespace: "demo" }, spec: { podSelector: {}, ...spec } },
  ];
  test.each([
    ["lets nothing in", {}, "fail"],
    ["has no word on Ingress", { policyTypes: ["Egress"] }, "pass"],
    ["selects other pods", { podSelector: { matchLabels: { app: "db" } } }, "pass"],
    ["lets all ports in", { ingress: [{}] }, "pass"],
    ["lets other ports in", { ingress: [{ ports: [{ port: 80 }] }] }, "fail"],
    ["lets the port in by UDP", { ingress: [{ ports: [{ port: 15008, protocol: "UDP" }, { port: 15020 }] }] }, "fail"],
    ["lets both in by number", { ingress: [{ ports: [{ port: 15008 }, { port: 15020 }] }] }, "pass"],
    ["lets both in by range", { ingress: [{ ports: [{ port: 15000, endPort: 15100 }] }] }, "pass"],
    [
      "lets both in by the sidecar's names",
      { ingress: [{ ports: [{ port: "tulle-hbone" }, { port: "tulle-metrics" }] }] },
      "pass",
    ],
    ["lets HBONE in only", { ingress: [{ ports: [{ port: 15008 }] }] }, "warn"],
  ] as const)("a NetworkPolicy that %s", (_, spec, verdict) => {
    expect(said("network-policies", { networkPolicies: policy(spec) })[0]).toBe(verdict);
  });

  test("NetworkPolicies add up", () => {
    const networkPolicies = [...policy({}), ...policy({ ingress: [{ ports: [{ port: 15000, endPort: 15021 }] }] })];
    expect(said("network-policies", { networkPolicies })[0]).toBe("pass");
  });

  const strict = namespace("demo", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" });
  const service = { metadata: { name: "judge", namespace: "demo" }, spec: { selector: { app: "web" } } };
  const reference = { namespace: "demo", name: "judge" };
  const webhook = { metadata: { name: "w" }, webhooks: [{ name: "w", clientConfig: { service: reference } }] };

  test("finds the webhook and the APIService that a strict namespace would refuse", () => {
    const change = { namespaces: [strict], services: [service] };
    expect(said("strict-services", { ...change, webhooks: [webhook] })[1]).toContain(
      "webhook w is served by demo/judge",
    );
    const apiServices = [{ metadata: { name: "v1.things" }, spec: { service: reference } }];
    expect(said("strict-services", { ...change, apiServices })[1]).toContain("APIService v1.things");
  });

  test("takes a webhook in a permissive namespace, one whose port is skipped, and one in the node's network", () => {
    const change = { services: [service], webhooks: [webhook] };
    expect(said("strict-services", change)[0]).toBe("pass");
    const skipping = [pod("web", { annotations: { "tulle.dev/skip-inbound-ports": "9443" } }, SIDECAR)];
    expect(said("strict-services", { ...change, namespaces: [strict], pods: skipping })[0]).toBe("pass");
    const ofNode = [pod("web", {}, { hostNetwork: true })];
    expect(said("strict-services", { ...change, namespaces: [strict], pods: ofNode })[0]).toBe("pass");
  });

  test("finds the sidecar of another mesh", () => {
    const pods = [pod("web", {}, { containers: [{ name: "istio-proxy" }] })];
    expect(said("other-meshes", { pods })[1]).toContain("demo/web (Istio)");
  });
});

describe("a mesh that is installed", () => {
  test("tells what the operator waits for, by the trouble of its pods", () => {
    const { operator } = healthy();
    if (operator === undefined || operator instanceof Unseen) throw new Error("no operator");
    const down = { ...operator, status: { replicas: 2, updatedReplicas: 2, availableReplicas: 0 } };
    const waiting = { waiting: { reason: "ImagePullBackOff", message: "no such image" } };
    const pods = [
      {
        ...pod("tulle-operator-1", {
          namespace: "tulle-system",
          labels: { "app.kubernetes.io/component": "operator" },
        }),
        status: { containerStatuses: [{ name: "operator", state: waiting }] },
      },
    ];
    expect(said("operator", { operator: down, pods })[1]).toBe(
      "0 of 2 replicas are ready; pod tulle-operator-1, operator: ImagePullBackOff (no such image)",
    );
  });

  test("says that the operator is scaled to nothing, and counts its replicas where its pods may not be listed", () => {
    const { operator } = healthy();
    if (operator === undefined || operator instanceof Unseen) throw new Error("no operator");
    const none = { ...operator, spec: { ...operator.spec, replicas: 0 }, status: {} };
    expect(said("operator", { operator: none })[1]).toContain("scaled to 0 replicas");
    const half = { ...operator, status: { replicas: 2, updatedReplicas: 2, availableReplicas: 1 } };
    expect(said("operator", { operator: half, pods: new Unseen("no") })[1]).toBe("1 of 2 replicas are ready");
  });

  test("finds a webhook that is missing, and one that stops pods while no operator answers", () => {
    const { injector } = healthy();
    if (injector === undefined || injector instanceof Unseen) throw new Error("no injector");
    const [first, second] = injector.webhooks ?? [];
    if (first === undefined || second === undefined) throw new Error("no webhooks");
    const of = (...webhooks: (typeof first)[]) => said("webhook-policy", { injector: { ...injector, webhooks } });
    expect(of(first).slice(0, 2)).toEqual(["fail", `webhook ${second.name} is missing in tulle-injector`]);
    expect(of(first, { ...second, failurePolicy: "Fail" })[0]).toBe("warn");
    const { failurePolicy: _, ...silent } = second;
    expect(of(first, silent)[1]).toStartWith(`failurePolicy of ${second.name} is Fail, not Ignore`);
  });

  test("finds another version in this program and in sidecars", () => {
    expect(said("operator-version", { version: "0.2.0" })[1]).toBe("the operator is 0.1.0, this tulle is 0.2.0");
    const pods = [pod("web", { annotations: { "tulle.dev/injected": "0.0.9" } }, SIDECAR)];
    expect(said("operator-version", { pods })[1]).toContain("demo/web");
  });

  test("finds replicas of different images, whatever others put beside the operator", () => {
    const replica = (name: string, image: string) =>
      pod(
        name,
        { namespace: "tulle-system", labels: { "app.kubernetes.io/component": "operator" } },
        {
          containers: [
            { name: "operator", image },
            { name: "agent", image: "agent:1" },
          ],
        },
      );
    expect(said("operator-version", { pods: [replica("a", "tulle:1"), replica("b", "tulle:1")] })[0]).toBe("pass");
    expect(said("operator-version", { pods: [replica("a", "tulle:1"), replica("b", "tulle:2")] })[1]).toBe(
      "replicas run different images: tulle:1, tulle:2",
    );
  });

  test("finds a caBundle that is not the mesh's, and none", () => {
    const injector = (caBundle?: string) => ({
      metadata: { name: "tulle-injector" },
      webhooks: [{ name: "a", clientConfig: caBundle === undefined ? {} : { caBundle } }],
    });
    expect(said("webhook-trust", { injector: injector("b3RoZXI=") })[0]).toBe("fail");
    expect(said("webhook-trust", { injector: injector() })[0]).toBe("fail");
    expect(said("webhook-trust", { injector: undefined })[0]).toBe("fail");
  });

  test("finds a root that runs out: a warning 60 days before, a failure after", () => {
    const day = 86_400_000;
    const end = new X509Certificate(PEM).validToDate.getTime();
    expect(said("ca-expiry", { now: end - 61 * day })[0]).toBe("pass");
    expect(said("ca-expiry", { now: end - 59 * day })[0]).toBe("warn");
    expect(said("ca-expiry", { now: end + 1 })[0]).toBe("fail");
  });

  test("finds a bundle that holds no certificate", () => {
    const text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const metadata = { name: "tulle-trust-bundle", namespace: "tulle-system" };
    const bundles = [{ metadata, data: { "root-cert.pem": text } }];
    expect(said("ca-expiry", { bundles })).toEqual([
      "fail",
      "the trust bundle holds no certificate",
      expect.any(String),
    ]);
  });

  test("finds a lost CA store", () => {
    expect(said("ca-store", { caSecret: undefined })[2]).toContain("Restore it from a backup");
  });

  test("finds namespaces without the bundle", () => {
    const namespaces = [namespace("tulle-system"), namespace("demo"), namespace("new")];
    expect(said("trust-bundles", { namespaces })[1]).toContain("namespaces without the newest bundle: new");
  });

  test("fails when a pod comes back without sidecar, warns when it was refused for another reason", () => {
    expect(said("injection", { probe: { outcome: "not-injected", why: "no sidecar" } })[0]).toBe("fail");
    expect(said("injection", { probe: { outcome: "unknown", why: "quota" } })[0]).toBe("warn");
  });

  test("finds a strict policy that does not deny", () => {
    const bindings = [
      { metadata: { name: "tulle-strict" }, spec: { policyName: "tulle-strict", validationActions: ["Audit"] } },
    ];
    expect(said("strict-policy", { bindings })[0]).toBe("fail");
  });

  test("finds pods that should be meshed: a warning, in a strict namespace a failure", () => {
    const pods = [pod("old")];
    expect(said("unmeshed-pods", { pods })).toEqual([
      "warn",
      expect.stringContaining("old"),
      expect.stringContaining("rollout restart"),
    ]);
    const namespaces = [namespace("demo", { "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" })];
    expect(said("unmeshed-pods", { pods, namespaces })[0]).toBe("fail");
  });

  test.each([
    ["finished", { status: { phase: "Succeeded" } }],
    ["in the node's network", { spec: { containers: [], hostNetwork: true } }],
    ["labelled disabled", { metadata: { name: "x", namespace: "demo", labels: { "tulle.dev/inject": "disabled" } } }],
    [
      "a static pod",
      { metadata: { name: "x", namespace: "demo", annotations: { "kubernetes.io/config.mirror": "1" } } },
    ],
    [
      "in kube-system",
      { metadata: { name: "x", namespace: "kube-system", labels: { "tulle.dev/inject": "enabled" } } },
    ],
  ])("asks no sidecar of a pod that is %s", (_, change) => {
    expect(said("unmeshed-pods", { pods: [{ ...pod("x"), ...change }] })[0]).toBe("pass");
  });

  test("looks at a meshed pod of a namespace without label too", () => {
    const failing = { name: "tulle-init", state: { terminated: { exitCode: 1 } } };
    const pods = [{ ...pod("web", {}, SIDECAR), status: { initContainerStatuses: [failing] } }];
    expect(said("sidecars", { pods, namespaces: [namespace("demo")] })[0]).toBe("fail");
  });

  test("finds an init container that fails, with the hint at legacy iptables", () => {
    const failing = { name: "tulle-init", state: { terminated: { exitCode: 1 } } };
    const pods = [{ ...pod("web", {}, SIDECAR), status: { initContainerStatuses: [failing] } }];
    expect(said("sidecars", { pods })[2]).toContain("injection.legacyIptables=true");
  });
});

describe("label selectors", () => {
  test.each([
    [{}, true],
    [{ matchLabels: { a: "1" } }, true],
    [{ matchLabels: { a: "2" } }, false],
    [{ matchExpressions: [{ key: "a", operator: "In", values: ["1", "2"] }] }, true],
    [{ matchExpressions: [{ key: "b", operator: "In", values: ["1"] }] }, false],
    [{ matchExpressions: [{ key: "b", operator: "NotIn", values: ["1"] }] }, true],
    [{ matchExpressions: [{ key: "a", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "a", operator: "DoesNotExist" }] }, false],
  ] as const)("%j selects a=1: %p", (selector, expected) => {
    expect(selects(selector, { a: "1" })).toBe(expected);
  });
});

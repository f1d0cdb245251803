import { describe, expect, test } from "bun:test";
import { ENV } from "../mesh/index.ts";
import { type Admission, admitPod, applyPatch, decide, hasSidecar, type JsonObject } from "./index.ts";

const CONFIG = { image: "tulle:latest", version: "0.1.0", trustDomain: "cluster.local", operatorAddress: "o:15012" };
const MESHED = { name: "shop", labels: { "tulle.dev/inject": "enabled" } };

function pod(metadata: object = {}, spec: object = {}): JsonObject {
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [{ name: "app", image: "x" }], ...spec } };
}
const labelled = (value: string) => pod({ labels: { "tulle.dev/inject": value } });
const patched = (before: JsonObject, answer: Admission): JsonObject => {
  if (answer.outcome !== "patched") throw new Error(JSON.stringify(answer));
  return applyPatch(before, answer.patch);
};
const names = (one: JsonObject) =>
  (one["spec"] as { initContainers: { name: string }[] }).initContainers.map((container) => container.name);

describe("a new pod is meshed or not, for one reason", () => {
  const unlabelled = { name: "shop", labels: {} };
  test.each([
    ["in a labelled namespace", pod(), MESHED, true, "namespace-enabled"],
    ["with a label of its own", labelled("enabled"), unlabelled, true, "pod-enabled"],
    ["without any label", pod(), unlabelled, false, "not-enabled"],
    [
      "in a namespace that opted out",
      labelled("enabled"),
      { name: "shop", labels: { "tulle.dev/inject": "disabled" } },
      false,
      "namespace-disabled",
    ],
    ["that opted out", labelled("disabled"), MESHED, false, "opted-out"],
    ["of the mesh itself", pod(), { ...MESHED, name: "tulle-system" }, false, "own-namespace"],
    ["of the cluster itself", pod(), { ...MESHED, name: "kube-system" }, false, "system-namespace"],
    ["of the node's leases", pod(), { ...MESHED, name: "kube-node-lease" }, false, "system-namespace"],
    [
      "that mirrors a static pod",
      pod({ annotations: { "kubernetes.io/config.mirror": "x" } }),
      MESHED,
      false,
      "mirror-pod",
    ],
    ["on the node's network", pod({}, { hostNetwork: true }), MESHED, false, "host-network"],
    ["for Windows", pod({}, { os: { name: "windows" } }), MESHED, false, "not-linux"],
    ["for Windows nodes", pod({}, { nodeSelector: { "kubernetes.io/os": "windows" } }), MESHED, false, "not-linux"],
  ] as const)("%s", (_name, one, namespace, mesh, reason) => {
    expect(decide(one, namespace)).toEqual({ mesh, reason });
    expect(admitPod(one, namespace, CONFIG)).toMatchObject({ outcome: mesh ? "patched" : "unchanged", reason });
  });

  test("where the operator runs is the caller's to say", () => {
    expect(decide(pod(), { ...MESHED, name: "mesh" }, "mesh")).toEqual({ mesh: false, reason: "own-namespace" });
    expect(decide(pod(), { ...MESHED, name: "tulle-system" }, "mesh").mesh).toBe(true);
  });
});

describe("the answer", () => {
  test("is a patch that meshes the pod, and nothing on the second call", () => {
    const once = patched(pod(), admitPod(pod(), MESHED, CONFIG));
    expect(hasSidecar(once["spec"] as JsonObject)).toBe(true);
    expect(admitPod(once, MESHED, CONFIG)).toEqual({ outcome: "unchanged", reason: "namespace-enabled" });
  });

  test("only adds, in front of what is there: the rest, known or not, stays as it was", () => {
    const before = pod({ labels: { a: "b" } }, { volumes: [{ name: "v" }], unknown: { x: 1 } });
    const answer = admitPod(before, MESHED, CONFIG);
    if (answer.outcome !== "patched") throw new Error();
    expect(new Set(answer.patch.map((one) => one.op))).toEqual(new Set(["add"]));
    const { initContainers: _ours, volumes, ...rest } = patched(before, answer)["spec"] as { [key: string]: unknown };
    expect({ ...rest, volumes: (volumes as object[]).slice(2) } as object).toEqual(before["spec"] as object);
  });

  test("is a refusal with code, reason and advice for a pod that cannot be meshed", () => {
    const answer = admitPod(pod({ annotations: { "tulle.dev/mode": "permissive" } }), MESHED, CONFIG);
    expect(answer).toMatchObject({ outcome: "refused", code: "bad-annotation" });
    expect(answer.outcome === "refused" && answer.message).toContain("tulle.dev/mode");
    expect(admitPod(labelled("yes"), MESHED, CONFIG)).toMatchObject({ outcome: "refused", code: "bad-label" });
  });

  test("warns of a misspelt annotation", () => {
    const answer = admitPod(pod({ annotations: { "tulle.dev/skip-outbound-port": "80" } }), MESHED, CONFIG);
    expect(answer).toMatchObject({
      outcome: "patched",
      warnings: ["annotation tulle.dev/skip-outbound-port is unknown: nothing reads it"],
    });
  });

  test("survives anything that is no pod", () => {
    for (const odd of [
      {},
      { spec: null },
      { spec: { containers: [1, null] } },
      { metadata: [], spec: { containers: "x" } },
    ]) {
      expect(admitPod(odd as JsonObject, MESHED, CONFIG).outcome).toBe("refused");
    }
  });
});

describe("a reinvocation", () => {
  const meshed = patched(pod(), admitPod(pod(), MESHED, CONFIG));
  const change = (edit: (spec: { initContainers: object[]; containers: object[] }) => void): JsonObject => {
    const copy = JSON.parse(JSON.stringify(meshed)) as JsonObject;
    edit(copy["spec"] as never);
    return copy;
  };

  test("puts our containers back in front of what another webhook put there", () => {
    const moved = change((spec) => spec.initContainers.unshift({ name: "vault" }));
    const again = patched(moved, admitPod(moved, MESHED, CONFIG));
    expect(names(again)).toEqual(["tulle-init", "tulle-proxy", "vault"]);
    const mixed = change((spec) => {
      const [init, proxy] = spec.initContainers as [object, object];
      spec.initContainers = [{ name: "a" }, proxy, { name: "b" }, init, { name: "c" }];
    });
    const mended = patched(mixed, admitPod(mixed, MESHED, CONFIG));
    expect(names(mended)).toEqual(["tulle-init", "tulle-proxy", "a", "b", "c"]);
    expect(admitPod(mended, MESHED, CONFIG).outcome).toBe("unchanged");
  });

  test("leaves what came behind them alone", () => {
    const more = change((spec) => spec.initContainers.push({ name: "later" }));
    expect(admitPod(more, MESHED, CONFIG).outcome).toBe("unchanged");
  });

  test("leads the probes of a container that came later to the proxy, and keeps those it knows", () => {
    const late = { name: "late", livenessProbe: { tcpSocket: { port: 80 } } };
    const first = change((spec) => spec.containers.push(late));
    const once = patched(first, admitPod(first, MESHED, CONFIG));
    const second = JSON.parse(JSON.stringify(once)) as JsonObject;
    (second["spec"] as { containers: object[] }).containers.push({ ...late, name: "later" });
    const twice = patched(second, admitPod(second, MESHED, CONFIG));
    expect(names(twice)).toEqual(["tulle-init", "tulle-proxy"]);
    const { initContainers } = twice["spec"] as { initContainers: { env: { name: string; value: string }[] }[] };
    const told = initContainers[1]?.env.filter((one) => one.name === ENV.probes);
    expect(told).toHaveLength(1);
    expect(Object.keys(JSON.parse(told?.[0]?.value ?? "") as object)).toEqual([
      "/probe/late/livez",
      "/probe/later/livez",
    ]);
    expect(admitPod(twice, MESHED, CONFIG).outcome).toBe("unchanged");
  });
});

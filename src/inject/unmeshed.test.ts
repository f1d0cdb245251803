import { describe, expect, test } from "bun:test";
import { explainUnmeshed, type JsonObject, type Remedies, workloadOf } from "./index.ts";

const LABELLED = Date.UTC(2026, 0, 15, 12);
const SHOP = { name: "shop", labels: { "tulle.dev/inject": "enabled" }, labelWrittenAt: LABELLED };

function pod(metadata: object = {}, spec: object = {}): JsonObject {
  return {
    metadata: { name: "web-5d4-abc", namespace: "shop", creationTimestamp: "2026-01-15T11:00:00Z", ...metadata },
    spec: { containers: [{ name: "app", image: "x" }], ...spec },
  };
}
const owned = (kind: string, name: string, labels: object = {}) => ({
  labels,
  ownerReferences: [
    { kind: "Node", name: "n1" },
    { kind, name, controller: true },
  ],
});
const explained = (one: JsonObject, remedies: Remedies = "kubectl", namespace: typeof SHOP | object = {}) =>
  explainUnmeshed(one, "namespace-enabled", { ...SHOP, ...namespace }, remedies);

describe("why a pod is not meshed", () => {
  test("older than its namespace's label, younger, and what cannot be told", () => {
    expect(explained(pod())).toMatchObject({
      cause: "before-label",
      why: "made before namespace shop was labelled",
    });
    expect(explained(pod({ creationTimestamp: "2026-01-15T12:00:01Z" }))).toMatchObject({
      cause: "injector-away",
      why: "made while the injector did not answer",
    });
    const unknown = { cause: "unknown", why: "made before its label, or while the injector did not answer" };
    expect(explained(pod({ creationTimestamp: "2026-01-15T12:00:00Z" }))).toMatchObject(unknown);
    expect(explained(pod({ creationTimestamp: undefined }))).toMatchObject(unknown);
    expect(explained(pod(), "kubectl", { labelWrittenAt: undefined })).toMatchObject(unknown);
    expect(explainUnmeshed(pod(), "pod-enabled", SHOP, "kubectl")).toMatchObject(unknown);
  });

  test("what would be refused says why and what to change, whenever made", () => {
    expect(explained(pod({}, { containers: [{ name: "app", securityContext: { runAsUser: 1337 } }] }))).toEqual({
      cause: "refused",
      why: "cannot be meshed: container app runs as user 1337",
      fix: "Run the container as another user: 1337 is the proxy's, whose traffic is not captured.",
    });
    const half = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy" }] };
    expect(explained(pod({}, half))).toMatchObject({ cause: "refused" });
  });
});

describe("what to do", () => {
  test.each([
    ["Deployment", owned("ReplicaSet", "web-5d4", { "pod-template-hash": "5d4" }), "deployment/web"],
    ["StatefulSet", owned("StatefulSet", "db"), "statefulset/db"],
    ["DaemonSet", owned("DaemonSet", "agent"), "daemonset/agent"],
  ])("a %s is restarted", (_kind, metadata, target) => {
    expect(explained(pod(metadata)).fix).toBe(`kubectl rollout restart -n shop ${target}`);
  });

  test.each([
    ["ReplicaSet", owned("ReplicaSet", "web-5d4")],
    ["ReplicaSet", owned("ReplicaSet", "web-5d4", { "pod-template-hash": "other" })],
    ["Job", owned("Job", "web-5d4")],
  ])("a %s makes its pod again when that is deleted", (kind, metadata) => {
    expect(explained(pod(metadata)).fix).toBe(
      `kubectl delete pod -n shop web-5d4-abc (${kind} web-5d4 makes it again)`,
    );
  });

  test("a bare pod is made again by whoever made it", () => {
    expect(workloadOf(pod())).toBeUndefined();
    expect(explained(pod()).fix).toBe("delete it and make it again");
  });

  test("in a play the commands are those of the play", () => {
    const metadata = owned("Deployment", "web");
    expect(explained(pod(metadata), "play").fix).toBe(
      "tulle delete pod -n shop web-5d4-abc (Deployment web makes it again)",
    );
    expect(explained(pod(), "play").fix).toBe("delete it and apply it again");
  });
});

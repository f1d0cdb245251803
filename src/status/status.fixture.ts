/** A mesh in which all is well, for tests that change one thing. */
import type { JsonObject } from "../inject/index.ts";
import type { ControlPlane, MeshFacts } from "./report.ts";

export const WELL: ControlPlane = {
  ready: true,
  namespace: "tulle-system",
  version: "0.2.0",
  mode: "permissive",
  replicas: [
    { pod: "tulle-operator-5d4f6c7b8-abcde", ready: true, version: "0.2.0", leader: true },
    { pod: "tulle-operator-5d4f6c7b8-fghij", ready: true, version: "0.2.0", leader: false },
  ],
  trust: {
    trustDomain: "cluster.local",
    roots: [{ fingerprint: "0f".repeat(32), expires: "2036-01-13T12:00:00.000Z" }],
  },
  injector: {
    webhooks: [
      { name: "namespace.injector.tulle.dev", failurePolicy: "Ignore", caBundle: "current" },
      { name: "pod.injector.tulle.dev", failurePolicy: "Ignore", caBundle: "current" },
    ],
  },
  problems: [],
  warnings: [],
  unseen: [],
};

export const ENABLED = { "tulle.dev/inject": "enabled" };
/** When namespaces got their label. */
export const LABELLED = Date.UTC(2026, 0, 15, 12);

export function namespace(name: string, labels: Readonly<Record<string, string>> = {}) {
  return { name, labels, labelWrittenAt: LABELLED };
}

/** A v1 Pod of an hour before `LABELLED`. */
export function pod(
  where: string,
  name: string,
  metadata: object = {},
  spec: object = {},
  more: object = {},
): JsonObject {
  return {
    metadata: { namespace: where, name, creationTimestamp: "2026-01-15T11:00:00Z", ...metadata },
    spec: { containers: [{ name: "app", image: "x" }], ...spec },
    ...more,
  };
}

export const SIDECAR = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] };

/** With the sidecar of this version. */
export function meshed(where: string, name: string, version = "0.2.0"): JsonObject {
  return pod(where, name, { annotations: { "tulle.dev/injected": version } }, SIDECAR);
}

/** Made by Deployment `web`. */
export function ofWeb(where: string, suffix: string): JsonObject {
  const controller = { kind: "ReplicaSet", name: "web-5d4f6c7b8", controller: true };
  return pod(where, `web-5d4f6c7b8-${suffix}`, {
    labels: { "pod-template-hash": "5d4f6c7b8" },
    ownerReferences: [controller],
  });
}

export function facts(change: Partial<MeshFacts> = {}): MeshFacts {
  return {
    controlPlane: WELL,
    namespaces: [namespace("kube-system"), namespace("shop", ENABLED), namespace("tulle-system")],
    pods: [meshed("shop", "web-1")],
    remedies: "kubectl",
    only: undefined,
    ...change,
  };
}

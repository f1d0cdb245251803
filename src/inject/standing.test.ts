import { describe, expect, test } from "bun:test";
import { standingFacts, standingOf } from "./index.ts";

const ENABLED = { "tulle.dev/inject": "enabled" };
const DISABLED = { "tulle.dev/inject": "disabled" };
const CONTAINERS = { containers: [{ name: "app", image: "x" }] };
const SIDECAR = { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy", restartPolicy: "Always" }] };

function standing(metadata: object, spec: object, labels: Readonly<Record<string, string>>, name = "shop", more = {}) {
  const facts = standingFacts({ metadata, spec: { ...CONTAINERS, ...spec }, ...more });
  const found = standingOf(facts, { name, labels }, "tulle-system");
  return "reason" in found ? `${found.state}: ${found.reason}` : found.state;
}

describe("a pod that is there", () => {
  test.each([
    ["unmeshed: namespace-enabled", {}, {}, ENABLED, "shop"],
    ["unmeshed: pod-enabled", { labels: ENABLED }, {}, {}, "shop"],
    ["outside: not-enabled", {}, {}, {}, "shop"],
    ["outside: namespace-disabled", { labels: ENABLED }, {}, DISABLED, "shop"],
    ["outside: opted-out", { labels: DISABLED }, {}, ENABLED, "shop"],
    ["outside: host-network", {}, { hostNetwork: true }, ENABLED, "shop"],
    ["outside: mirror-pod", { annotations: { "kubernetes.io/config.mirror": "x" } }, {}, ENABLED, "shop"],
    ["outside: not-linux", {}, { nodeSelector: { "kubernetes.io/os": "windows" } }, ENABLED, "shop"],
    ["outside: not-linux", {}, { os: { name: "windows" } }, ENABLED, "shop"],
    ["outside: system-namespace", {}, {}, ENABLED, "kube-system"],
    ["outside: own-namespace", {}, {}, ENABLED, "tulle-system"],
    ["meshed", {}, SIDECAR, ENABLED, "shop"],
    ["meshed", {}, SIDECAR, {}, "shop"],
    // By `kubectl label` after it was made: the sidecar is there all the same.
    ["meshed", { labels: DISABLED }, SIDECAR, ENABLED, "shop"],
    ["unmeshed: namespace-enabled", {}, { initContainers: [{ name: "tulle-init" }] }, ENABLED, "shop"],
    [
      "unmeshed: namespace-enabled",
      {},
      { initContainers: [{ name: "tulle-init" }, { name: "tulle-proxy" }] },
      ENABLED,
      "shop",
    ],
    ["ended", { deletionTimestamp: "2026-01-15T12:00:00Z" }, {}, ENABLED, "shop"],
  ] as const)("is %s: %j %j in a namespace labelled %j", (expected, metadata, spec, labels, name) => {
    expect(standing(metadata, spec, labels, name)).toBe(expected);
  });

  test("is ended once it has finished, well or not", () => {
    for (const phase of ["Succeeded", "Failed"])
      expect(standing({}, {}, ENABLED, "shop", { status: { phase } })).toBe("ended");
    expect(standing({}, {}, ENABLED, "shop", { status: { phase: "Pending" } })).toStartWith("unmeshed");
  });
});

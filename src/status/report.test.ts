import { describe, expect, test } from "bun:test";
import { meshReport, STATUS_FIELDS } from "./index.ts";
import { ENABLED, facts, meshed, namespace, ofWeb, pod, WELL } from "./status.fixture.ts";

describe("a report", () => {
  test("is ok when all is well: the control plane ready, and nobody outside that should be in", () => {
    const report = meshReport(facts());
    expect(report.ok).toBe(true);
    expect(report.namespaces).toEqual([
      { name: "shop", mode: "permissive", pods: 1, meshed: 1, unmeshed: 0, outside: {} },
    ]);
  });

  test.each([[false], [null]])("is not ok when the control plane's readiness is %p", (ready) => {
    expect(meshReport(facts({ controlPlane: { ...WELL, ready } })).ok).toBe(false);
  });

  test("tells of every pod where it stands and why, by namespace and name", () => {
    const pods = [
      ofWeb("shop", "bbbbb"),
      pod("shop", "host", {}, { hostNetwork: true }),
      meshed("shop", "in"),
      pod("shop", "no", { labels: { "tulle.dev/inject": "disabled" } }),
      pod("kube-system", "dns"),
      pod("tulle-system", "tulle-operator-1"),
      pod("plain", "alone"),
    ];
    const namespaces = [...facts().namespaces, namespace("plain")];
    const report = meshReport(facts({ namespaces, pods }));
    expect(report.pods.map(({ namespace: where, name, state, reason }) => [`${where}/${name}`, state, reason])).toEqual(
      [
        ["kube-system/dns", "outside", "system-namespace"],
        ["plain/alone", "outside", "not-enabled"],
        ["shop/host", "outside", "host-network"],
        ["shop/in", "meshed", null],
        ["shop/no", "outside", "opted-out"],
        ["shop/web-5d4f6c7b8-bbbbb", "unmeshed", "namespace-enabled"],
        ["tulle-system/tulle-operator-1", "outside", "own-namespace"],
      ],
    );
    expect(report.pods.find((one) => one.state === "unmeshed")).toEqual({
      namespace: "shop",
      name: "web-5d4f6c7b8-bbbbb",
      state: "unmeshed",
      workload: "Deployment/web",
      reason: "namespace-enabled",
      cause: "before-label",
      why: "made before namespace shop was labelled",
      fix: "kubectl rollout restart -n shop deployment/web",
      proxyVersion: null,
    });
    expect(report.namespaces).toEqual([
      {
        name: "shop",
        mode: "permissive",
        pods: 4,
        meshed: 1,
        unmeshed: 1,
        outside: { "host-network": 1, "opted-out": 1 },
      },
    ]);
    expect(report.ok).toBe(false);
  });

  test("leaves out pods that have ended or are on their way out, and those whose namespace is gone", () => {
    const pods = [
      pod("shop", "done", {}, {}, { status: { phase: "Succeeded" } }),
      pod("shop", "leaving", { deletionTimestamp: "2026-01-15T12:00:00Z" }),
      pod("gone", "late"),
    ];
    expect(meshReport(facts({ pods }))).toMatchObject({ ok: true, pods: [] });
  });

  test("has a line for a namespace that asks for the mesh, has meshed pods, or lacks some, and for the one asked for", () => {
    const namespaces = [
      namespace("asking", ENABLED),
      namespace("by-hand"),
      namespace("by-pod"),
      namespace("kube-system", ENABLED),
      namespace("plain"),
      namespace("tulle-system", ENABLED),
    ];
    const pods = [meshed("by-hand", "a"), pod("by-pod", "b", { labels: ENABLED }), pod("plain", "c")];
    const names = (only?: string) => meshReport(facts({ namespaces, pods, only })).namespaces.map(({ name }) => name);
    expect(names()).toEqual(["asking", "by-hand", "by-pod"]);
    expect(names("plain")).toContain("plain");
  });

  test("knows a namespace's mode from its label, else from the mesh, and says when it does not", () => {
    const namespaces = [namespace("a", ENABLED), namespace("b", { ...ENABLED, "tulle.dev/mode": "strict" })];
    const modes = (mode: "strict" | "permissive" | null) =>
      meshReport(facts({ namespaces, pods: [], controlPlane: { ...WELL, mode } })).namespaces.map((one) => one.mode);
    expect(modes("permissive")).toEqual(["permissive", "strict"]);
    expect(modes("strict")).toEqual(["strict", "strict"]);
    expect(modes(null)).toEqual([null, "strict"]);
  });

  test("counts the versions of sidecars, and tells which are not the operator's", () => {
    const pods = [meshed("shop", "a", "0.1.0"), meshed("shop", "b", "0.1.0"), meshed("shop", "c")];
    expect(meshReport(facts({ pods })).proxyVersions).toEqual([
      { version: "0.1.0", pods: 2, current: false },
      { version: "0.2.0", pods: 1, current: true },
    ]);
    const unknown = meshReport(facts({ pods, controlPlane: { ...WELL, version: null } }));
    expect(unknown.proxyVersions.every((one) => one.current)).toBe(true);
  });

  test("has no field that the reference does not tell of", () => {
    const report = { target: { kind: "play", process: 1 }, ...meshReport(facts({ pods: [ofWeb("shop", "a")] })) };
    const told = new Map(STATUS_FIELDS.map(({ path, fields }) => [path, Object.keys(fields)]));
    expect(Object.keys(report).sort()).toEqual([...(told.get("") ?? [])].sort());
    expect(Object.keys(report.controlPlane).sort()).toEqual([...(told.get("controlPlane") ?? [])].sort());
    expect(Object.keys(report.pods[0] ?? {}).sort()).toEqual([...(told.get("pods[]") ?? [])].sort());
  });
});

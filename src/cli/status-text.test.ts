import { describe, expect, test } from "bun:test";
import { type MeshFacts, meshReport, type StatusReport } from "../status/index.ts";
import { ENABLED, facts, meshed, namespace, ofWeb, pod, WELL } from "../status/status.fixture.ts";
import { type Look, statusText } from "./status-text.ts";

const PLAIN: Look = { all: false, paint: (text) => text };

function report(change: Partial<MeshFacts> = {}): StatusReport {
  return { target: { kind: "cluster", server: "https://10.0.0.1:6443" }, ...meshReport(facts(change)) };
}
const lines = (text: string) => text.split("\n");

const MANY = [
  ofWeb("shop", "aaaaa"),
  ofWeb("shop", "bbbbb"),
  pod("shop", "alone"),
  pod("shop", "odd", {}, { containers: [{ name: "app", securityContext: { runAsUser: 1337 } }] }),
  pod("shop", "host", {}, { hostNetwork: true }),
  meshed("shop", "old", "0.1.0"),
  pod("kube-system", "dns-1"),
  pod("kube-system", "dns-2"),
];

describe("the report of a mesh", () => {
  test("in which all is well fits on one screen", () => {
    expect(statusText(report(), PLAIN)).toBe(`cluster https://10.0.0.1:6443, operator in namespace tulle-system
control plane: ready
  POD                             READY  VERSION
  tulle-operator-5d4f6c7b8-abcde  yes    0.2.0    leader
  tulle-operator-5d4f6c7b8-fghij  yes    0.2.0
  trust domain cluster.local
  root ${"0f".repeat(32)}, until 2036-01-13
  webhook namespace.injector.tulle.dev: failurePolicy Ignore, caBundle current
  webhook pod.injector.tulle.dev: failurePolicy Ignore, caBundle current

NAMESPACE  MODE        MESHED  OUTSIDE
shop       permissive  1/1     none

every pod that should be meshed is
`);
  });

  test("tells of pods that should be in it by workload, with reason and fix, and counts those outside by choice", () => {
    const text = statusText(report({ pods: MANY }), PLAIN);
    expect(text.slice(text.indexOf("NAMESPACE"))).toBe(`NAMESPACE  MODE        MESHED  OUTSIDE
shop       permissive  1/6     4 should be meshed, 1 host-network

should be meshed and are not:
! shop, bare: alone
    made before namespace shop was labelled
    fix: delete it and make it again
! shop, bare: odd
    cannot be meshed: container app runs as user 1337
    fix: Run the container as another user: 1337 is the proxy's, whose traffic is not captured.
! shop, Deployment/web: web-5d4f6c7b8-aaaaa, web-5d4f6c7b8-bbbbb
    made before namespace shop was labelled
    fix: kubectl rollout restart -n shop deployment/web

outside by choice: 2 system-namespace, 1 host-network (--all lists them)

1 pod runs the proxy of 0.1.0, the operator is 0.2.0: restart to update

4 pods should be meshed and are not
`);
  });

  test("with --all lists those outside by choice, and what their reasons mean", () => {
    const text = statusText(report({ pods: MANY }), { ...PLAIN, all: true });
    expect(text).toContain(`outside by choice: 2 system-namespace, 1 host-network
NAMESPACE    POD    REASON
kube-system  dns-1  system-namespace
kube-system  dns-2  system-namespace
shop         host   host-network
system-namespace: the cluster's own pods must start without the mesh
host-network: it uses the node's network: its rules would capture the node's traffic
`);
  });

  test("says what keeps the control plane from being ready, what to do, and what could not be seen", () => {
    const controlPlane = {
      ...WELL,
      ready: false,
      replicas: null,
      trust: null,
      injector: null,
      problems: [{ text: "1 of 2 replicas are ready", fix: "kubectl describe pods" }],
      warnings: [{ text: "no replica leads", fix: null }],
      unseen: [{ part: "leader", why: 'leases is forbidden: User "eve" cannot get resource "leases"' }],
    };
    const text = statusText(report({ controlPlane }), PLAIN);
    expect(text.slice(0, text.indexOf("\n\n"))).toBe(`cluster https://10.0.0.1:6443, operator in namespace tulle-system
control plane: not ready
  ! 1 of 2 replicas are ready
    fix: kubectl describe pods
  ? no replica leads
  ? leader could not be looked at: leases is forbidden: User "eve" cannot get resource "leases"`);
    expect(lines(text).at(-2)).toBe("the control plane is not ready");
    const unknown = statusText(report({ controlPlane: { ...WELL, ready: null } }), PLAIN);
    expect(unknown).toContain("control plane: not known\n");
    expect(lines(unknown).at(-2)).toBe("whether the control plane is ready could not be seen");
  });

  test("of a play says so; without any meshed namespace says that", () => {
    const text = statusText(
      { ...report({ namespaces: [namespace("a")], pods: [] }), target: { kind: "play", process: 7 } },
      PLAIN,
    );
    expect(lines(text)[0]).toBe("play on this machine (process 7)");
    expect(text).toContain("\nno namespace is in the mesh\n");
  });

  test("has no line above 100 columns, whatever there is to say", () => {
    const long = "n".repeat(40);
    const names = Array.from({ length: 30 }, (_, index) => ofWeb(long, `pod${index}`));
    const outside = [
      pod(long, "a", {}, { hostNetwork: true }),
      pod(long, "b", { labels: { "tulle.dev/inject": "disabled" } }),
    ];
    const mirror = pod(long, "c", { annotations: { "kubernetes.io/config.mirror": "x" } });
    const change = {
      namespaces: [namespace(long, ENABLED)],
      pods: [...names, ...outside, mirror],
      controlPlane: { ...WELL, problems: [{ text: "it is so ".repeat(40), fix: "do this ".repeat(40) }] },
    };
    const text = statusText(report(change), { ...PLAIN, all: true });
    expect(lines(text).filter((line) => line.length > 100)).toEqual([]);
  });

  test("is painted where the answer is", () => {
    const painted = (change: Partial<MeshFacts>) => {
      const seen: string[] = [];
      const paint: Look["paint"] = (text, colour) => {
        seen.push(`${colour} ${text}`);
        return text;
      };
      statusText(report(change), { ...PLAIN, paint });
      return seen;
    };
    expect(painted({})).toEqual(["green ready", "green every pod that should be meshed is"]);
    expect(painted({ pods: [pod("shop", "a")] })).toEqual(["green ready", "red 1 pod should be meshed and is not"]);
    expect(painted({ controlPlane: { ...WELL, ready: null } })[0]).toBe("yellow not known");
  });
});

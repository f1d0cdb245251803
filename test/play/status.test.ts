/** `tulle status` of a running play: who is in its mesh, who is not, why, and that what it says to do helps. */
import { expect, test } from "bun:test";
import type { StatusReport } from "../../src/status/index.ts";
import { until } from "../support/machine.ts";
import { eachInFolder, type PlayFolder, simplePod } from "../support/play-folder.ts";

let play: PlayFolder;
eachInFolder((folder) => {
  play = folder;
});

const SLEEP = ["sleep", "600"];
const shop = (labels: Readonly<Record<string, string>> = {}) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "shop", labels },
});
const inShop = (name: string, labels: Readonly<Record<string, string>> = {}) => {
  const pod = simplePod(name, SLEEP) as { readonly metadata: { readonly labels: object } };
  return { ...pod, metadata: { ...pod.metadata, namespace: "shop", labels: { ...pod.metadata.labels, ...labels } } };
};
const web = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "shop" },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "app", image: "debian", command: SLEEP }] },
    },
  },
};

function start(flags: readonly string[], ...objects: readonly object[]): void {
  expect(play.tulle("play", "--detach", "--egress", "none", ...flags, play.manifest(...objects)).code).toBe(0);
}
function report(...args: readonly string[]): StatusReport {
  return JSON.parse(play.tulle("status", "-o", "json", ...args).stdout) as StatusReport;
}

test("a namespace that is labelled late has its pods outside, until they are made again as it says", async () => {
  start([], shop(), web, inShop("opted-out", { "tulle.dev/inject": "disabled" }), simplePod("meshed", SLEEP));
  const well = play.tulle("status");
  expect([well.code, well.stderr]).toEqual([0, ""]);
  expect(well.stdout).toMatch(/^play on this machine \(process \d+\)\ncontrol plane: ready\n/);
  expect(well.stdout).toMatch(/^default +permissive +1\/1 +none$/m);
  expect(well.stdout).toContain("outside by choice: 1 opted-out, 1 not-enabled (--all lists them)");

  const late = shop({ "tulle.dev/inject": "enabled", "tulle.dev/mode": "strict" });
  expect(play.tulle("apply", "-f", play.manifest(late)).code).toBe(0);
  const told = play.tulle("status");
  expect(told.code).toBe(1);
  expect(told.stdout).toMatch(/^shop +strict +0\/2 +1 should be meshed, 1 opted-out$/m);
  expect(told.stdout).toContain("made before namespace shop was labelled\n");
  expect(told.stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);
  const [unmeshed] = report("-n", "shop").pods.filter((pod) => pod.state === "unmeshed");
  expect(unmeshed).toMatchObject({ workload: "Deployment/web", cause: "before-label" });
  const [tulle, ...command] = (unmeshed?.fix ?? "").replace(/ \(.*/, "").split(" ");
  expect(tulle).toBe("tulle");
  expect(play.tulle(...command, "--grace-period", "0").code).toBe(0);
  await until("the new pod", () => play.tulle("status").code === 0);
  expect(report("-n", "shop")).toMatchObject({
    ok: true,
    namespaces: [{ name: "shop", mode: "strict", meshed: 1, unmeshed: 0, outside: { "opted-out": 1 } }],
  });
  expect(play.tulle("status", "--all").stdout).toMatch(/^shop +opted-out +opted-out$/m);
});

test("names the control plane, and limits itself to a namespace that is there", () => {
  start([], simplePod("meshed", SLEEP));
  const { target, controlPlane, pods, proxyVersions } = report();
  expect(target).toEqual({ kind: "play", process: expect.any(Number) });
  expect(controlPlane).toMatchObject({
    ready: true,
    mode: "permissive",
    replicas: [{ pod: "tulle-operator", ready: true }],
    trust: { trustDomain: "cluster.local", roots: [{ fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) }] },
    problems: [],
  });
  expect(pods).toMatchObject([{ namespace: "default", name: "meshed", proxyVersion: controlPlane.version }]);
  expect(proxyVersions).toMatchObject([{ version: controlPlane.version, pods: 1, current: true }]);
  const missing = play.tulle("status", "-n", "nowhere");
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining("there is no namespace nowhere")]);
  expect(play.tulle("status", "-n").code).toBe(2);
});

test("a play without a mesh is not well", () => {
  start(["--no-inject"], simplePod("app", SLEEP));
  const told = play.tulle("status");
  expect(told.code).toBe(1);
  expect(told.stdout).toContain("! this play has no mesh: it was started with --no-inject\n");
});

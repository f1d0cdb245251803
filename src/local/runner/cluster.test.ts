import { expect, test } from "bun:test";
import { InjectError } from "../../inject/index.ts";
import { INJECT_LABEL } from "../../mesh/index.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { LocalError } from "../errors.ts";
import { parseManifests } from "../manifest/parse.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";

const NODE: ClusterOptions["node"] = {
  clock: new FakeClock(),
  nodeIps: [],
  podsDirectory: "/nowhere",
  hiddenDirectories: [],
  ownImage: "tulle",
  ownMounts: [],
  resolvConf: () => "",
  token: () => ({ token: "", expires: 0 }),
  availableCapabilities: new Set(),
};

function clusterWith(options: Partial<ClusterOptions>): Cluster {
  return new Cluster({
    random: new SeededRandom(1),
    inject: undefined,
    node: NODE,
    takeAddresses: () => {
      throw new LocalError("addresses", "every address is in use");
    },
    freeAddresses: () => undefined,
    delayed: () => undefined,
    changed: () => undefined,
    ...options,
  });
}

const objects = (...all: readonly object[]) =>
  parseManifests([{ name: "a.yaml", text: all.map((one) => JSON.stringify(one)).join("\n---\n") }]).objects;
const namespace = (inject: string, name = "demo") => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { [INJECT_LABEL]: inject } },
});
const deployment = (replicas: number) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "demo" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "a", image: "x" }] } },
  },
});

test("pods that find no address wait, and that is said once", () => {
  const said: string[] = [];
  const cluster = clusterWith({ delayed: (error) => said.push(error.message) });
  expect(cluster.apply(objects(deployment(3)))).toMatchObject([{ outcome: "created" }]);
  expect(cluster.pods).toEqual([]);
  expect(said).toEqual(["every address is in use"]);
});

test("a namespace whose new labels would mesh what cannot be meshed is refused", () => {
  const cluster = clusterWith({
    inject: () => {
      throw new InjectError("proxy-uid", "the pod runs as user 1337");
    },
  });
  cluster.apply(objects(namespace("disabled"), deployment(0)));
  expect(() => cluster.apply(objects(namespace("enabled")))).toThrow(/Deployment\/web cannot be meshed: .*1337/);
  expect(cluster.namespaces.get("demo")?.[INJECT_LABEL]).toBe("disabled");
});

test("a pod is injected as a cluster's webhook decides: by labels, and never in the cluster's own namespaces", () => {
  const injected: string[] = [];
  const cluster = clusterWith({
    inject: (template) => {
      injected.push(template.metadata.name ?? "");
      return template;
    },
  });
  const pod = (name: string, where: string, inject?: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: where, labels: inject === undefined ? {} : { [INJECT_LABEL]: inject } },
    spec: { containers: [{ name: "a", image: "x" }] },
  });
  cluster.apply(
    objects(
      namespace("enabled"),
      namespace("disabled", "no"),
      namespace("enabled", "kube-system"),
      pod("in", "demo"),
      pod("opted-out", "demo", "disabled"),
      pod("asks-in-vain", "no", "enabled"),
      pod("dns", "kube-system"),
      pod("implied", "default"),
    ),
  );
  expect([...new Set(injected)].sort()).toEqual(["implied", "in"]);
});

test("it is known when a namespace's label got its value, and another label changes nothing", () => {
  const clock = new FakeClock();
  const cluster = clusterWith({ node: { ...NODE, clock } });
  const labelled = (labels: object) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name: "demo", labels } });
  cluster.apply(objects(labelled({})));
  expect(cluster.injectLabelWrittenAt("demo")).toBeUndefined();
  clock.advance(1000);
  const written = clock.now();
  cluster.apply(objects(namespace("enabled")));
  clock.advance(1000);
  cluster.apply(objects(labelled({ [INJECT_LABEL]: "enabled", team: "a" })));
  expect(cluster.injectLabelWrittenAt("demo")).toBe(written);
});

import { expect, test } from "bun:test";
import { InjectError } from "../../inject/index.ts";
import { INJECT_LABEL } from "../../mesh/index.ts";
import { FakeClock } from "../../testkit/fake-clock.ts";
import { SeededRandom } from "../../testkit/seeded-random.ts";
import { LocalError } from "../errors.ts";
import { parseManifests } from "../manifest/parse.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";

function clusterWith(options: Partial<ClusterOptions>): Cluster {
  return new Cluster({
    random: new SeededRandom(1),
    inject: undefined,
    node: {
      clock: new FakeClock(),
      nodeIps: [],
      podsDirectory: "/nowhere",
      hiddenDirectories: [],
      ownImage: "tulle",
      ownMounts: [],
      resolvConf: () => "",
      token: () => ({ token: "", expires: 0 }),
      availableCapabilities: new Set(),
    },
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
const namespace = (inject: string) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "demo", labels: { [INJECT_LABEL]: inject } },
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

/** The image `tulle`: the binary finds in it all that it calls. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClusterNamespace, LocalCluster, pod, SHELL } from "../../support/cluster.ts";

const cluster = await LocalCluster.find();
let space: ClusterNamespace;

beforeAll(async () => {
  space = await cluster.namespace("tulle");
});
afterAll(() => space?.[Symbol.asyncDispose]());

test("tulle init writes the rules of a pod from its image", async () => {
  const securityContext = { runAsUser: 0, capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] } };
  const common = { image: "tulle:local", securityContext };
  await space.apply(
    pod("rules", {
      initContainers: [
        { ...common, name: "init", args: ["init"] },
        { ...common, name: "ipv4", command: ["iptables-save", "-t", "nat"] },
        { ...common, name: "ipv6", command: ["ip6tables-save", "-t", "nat"] },
      ],
      containers: [SHELL],
    }),
  );
  await space.ready(["rules"]);
  for (const family of ["ipv4", "ipv6"]) {
    expect(await space.kubectl(["logs", "rules", "-c", family])).toContain("--to-ports 15001");
  }
});

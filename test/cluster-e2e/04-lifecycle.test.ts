/** Pods of every kind of workload, from their first packet to their end. */
import { expect } from "bun:test";
import { Cluster, type ClusterNamespace, eventually } from "../support/cluster.ts";
import { cleanUp, holds, holdsIf, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, podOf, SERVER_PORTS, server, service, template, url } from "../support/mesh-apps.ts";

let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("lifecycle");
  await space.apply(podOf("server", server()), service("server"));
  await space.ready(["server"]);
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

const SERVICE = "http://server/";

holds(
  "96, 98: Jobs whose first packet leaves at once are answered, strict as their server is, and complete",
  async () => {
    const job = (name: string) => ({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name },
      spec: {
        backoffLimit: 0,
        parallelism: 3,
        completions: 3,
        template: template(name, app(["first", SERVICE]), { spec: { restartPolicy: "Never" } }),
      },
    });
    const grown = await mesh.growth(
      space,
      "server",
      "inbound mtls",
      async () => {
        await space.apply(job("once"));
        await space.ready(["job/once"], "condition=Complete");
      },
      3,
    );
    expect(grown).toBe(3);
    expect(await space.kubectl(["logs", "job/once"])).toStartWith("server ");
  },
);

holds("98: a CronJob's pod completes too", async () => {
  const cronJob = {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { name: "nightly" },
    spec: {
      schedule: "0 3 * * *",
      jobTemplate: {
        spec: {
          backoffLimit: 0,
          template: template("nightly", app(["first", SERVICE]), { spec: { restartPolicy: "Never" } }),
        },
      },
    },
  };
  await space.apply(cronJob);
  await space.kubectl(["create", "job", "tonight", "--from=cronjob/nightly"]);
  await space.ready(["job/tonight"], "condition=Complete");
});

holds("97: init containers of the pod's own have the network, through the mesh", async () => {
  const own = { ...app(["first", SERVICE]), name: "fetch" };
  await space.apply(podOf("with-init", app(["idle"]), { spec: { initContainers: [own] } }));
  await space.ready(["with-init"]);
  expect(await space.kubectl(["logs", "with-init", "-c", "fetch"])).toStartWith("server ");
  expect((await mesh.connections(space, "with-init")).get("outbound mtls")).toBe(1);
  const order = await space.get("pod/with-init", ".spec.initContainers[*].name");
  expect(order).toBe("tulle-init tulle-proxy fetch");
});

holds("107: a StatefulSet's pods reach each other by their pods' names", async () => {
  const peers = {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "peer" },
    spec: {
      replicas: 2,
      serviceName: "peers",
      podManagementPolicy: "Parallel",
      selector: { matchLabels: { app: "peer" } },
      template: template("peer", server()),
    },
  };
  await space.apply(service("peers", { headless: true, app: "peer" }), peers);
  await space.ready(["statefulset/peer"], "jsonpath={.status.readyReplicas}=2");
  for (const [from, to] of [
    ["peer-0", "peer-1"],
    ["peer-1", "peer-0"],
  ] as const) {
    const target = url(`${to}.peers`, SERVER_PORTS.http);
    const grown = await mesh.growth(space, from, "outbound mtls", async () => {
      // The name is there once the pod is ready and the name server knows it.
      expect(await eventually(() => space.exec(from, ...curl(target)))).toStartWith(`${to} `);
    });
    expect(grown).toBe(1);
  }
});

holds("a DaemonSet's pod is meshed and answers", async () => {
  const set = {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "agent" },
    spec: { selector: { matchLabels: { app: "agent" } }, template: template("agent", server()) },
  };
  await space.apply(set, service("agent"));
  await space.ready(["daemonset/agent"], "jsonpath={.status.numberReady}=1");
  const agent = await space.podOf("agent");
  const grown = await mesh.growth(space, agent, "inbound mtls", async () => {
    expect(await eventually(() => space.exec("server", ...curl(url("agent"))))).toStartWith(`${agent} `);
  });
  expect(grown).toBe(1);
});

holds("a pod ends within its grace period, its sidecar with it", async () => {
  await space.apply(podOf("ending", app(["idle"]), { spec: { terminationGracePeriodSeconds: 30 } }));
  await space.ready(["ending"]);
  const began = Date.now();
  await space.kubectl(["delete", "pod", "ending", "--timeout=60s"]);
  expect(Date.now() - began).toBeLessThan(15_000);
});

/** The runtime has to say that it can; containerd before 2.0 says nothing. */
const runtimes = await (await Cluster.find()).kubectl([
  ...["get", "nodes", "-o", "jsonpath={.items[*].status.runtimeHandlers[*].features.userNamespaces}"],
]);
holdsIf(runtimes.includes("true"))("108: a pod in a user namespace is meshed like any other", async () => {
  await space.apply(podOf("mapped", server(), { spec: { hostUsers: false } }), service("mapped"));
  await space.ready(["mapped"]);
  const [inside, outside] = (await space.exec("mapped", "cat", "/proc/self/uid_map")).trim().split(/\s+/);
  expect(inside).toBe("0");
  expect(Number(outside)).toBeGreaterThan(0);
  const grown = await mesh.growth(space, "mapped", "inbound mtls", async () => {
    expect(await eventually(() => space.exec("server", ...curl(url("mapped"))))).toStartWith("mapped ");
  });
  expect(grown).toBe(1);
});

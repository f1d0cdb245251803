/** The API server goes and comes back, and the webhook's certificate changes, while pods are made. */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually, type Manifest } from "../support/cluster.ts";
import { install } from "../support/install.ts";
import { cleanUp, holds, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, deployment, podOf, server, service, url } from "../support/mesh-apps.ts";

let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("api-server");
  await space.apply(podOf("server", server()), service("server"), podOf("client", app(["idle"])));
  await space.ready(["server", "client"]);
  await eventually(() => space.exec("client", ...curl(url("server"))));
});
cleanUp(async () => {
  await install(mesh.cluster);
  await space?.[Symbol.asyncDispose]();
});

holdsInNode(
  "an API server that was killed is back, and everything resumes",
  async () => {
    const before = await restarts();
    await mesh.node.crash("kube-apiserver");
    await eventually(() => mesh.cluster.kubectl(["get", "--raw", "/readyz"]), 60_000);
    // Injection, certificates and discovery of what is new; a change of what was known.
    await space.apply(deployment("later", server()), service("later"));
    await space.ready(["deployment/later"], "condition=Available");
    const grown = await mesh.growth(space, "client", "outbound mtls", async () => {
      expect(await eventually(() => space.exec("client", ...curl(url("later"))))).toStartWith("later-");
    });
    expect(grown).toBe(1);
    await space.kubectl(["rollout", "restart", "deployment/later"]);
    await space.kubectl(["rollout", "status", "deployment/later", "--timeout=100s"], { timeout: 120_000 });
    const moved = await mesh.growth(space, "client", "outbound mtls", async () => {
      expect(await eventually(() => space.exec("client", ...curl(url("later"))))).toStartWith("later-");
    });
    expect(moved).toBeGreaterThan(0);
    await using fresh = await mesh.meshed("after-crash");
    await fresh.apply(podOf("first", app(["idle"])));
    await fresh.ready(["first"]);
    await mesh.operatorReady();
    expect(await restarts()).toBe(before);
  },
  240_000,
);

function restarts(): Promise<string> {
  const path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
  return mesh.system(["get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", path]);
}

holds(
  "200 pods made while the webhook's certificate is renewed again and again are all injected, without an error",
  async () => {
    await install(mesh.cluster, ["mesh.leafLifetime=20s"]);
    const serials = new Set<string>();
    const failed = await mesh.webhookFailures();
    for (let from = 0; from < 200; from += 20) {
      // Nothing runs them: injection is done when they are admitted.
      await space.apply(...Array.from({ length: 20 }, (_, index) => unscheduled(`rotated-${from + index}`)));
      serials.add(await webhookSerial());
      await Bun.sleep(1500);
    }
    const names = await space.kubectl([
      "get",
      "pods",
      "-l",
      "app=unscheduled",
      "-o",
      "jsonpath={range .items[*]}{.spec.initContainers[*].name}{'\\n'}{end}",
    ]);
    const lines = names.trim().split("\n");
    expect(lines).toHaveLength(200);
    expect(new Set(lines)).toEqual(new Set(["tulle-init tulle-proxy"]));
    if (mesh.local !== undefined) expect(serials.size).toBeGreaterThanOrEqual(2);
    expect(await mesh.webhookFailures()).toBe(failed);
    await space.kubectl(["delete", "pods", "-l", "app=unscheduled", "--wait=false"]);
  },
  240_000,
);

function unscheduled(name: string): Manifest {
  return podOf(name, app(["idle"]), { spec: { schedulerName: "nobody" }, labels: { app: "unscheduled" } });
}

/** Serial of the certificate that one replica shows now. */
async function webhookSerial(): Promise<string> {
  if (mesh.local === undefined) return "";
  const [pod = ""] = await mesh.operatorPods();
  const ip = await mesh.system(["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
  const script = `openssl s_client -connect ${ip}:15017 </dev/null 2>/dev/null | openssl x509 -noout -serial`;
  return mesh.local.node.run("sh", "-c", script);
}

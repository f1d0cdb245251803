/**
 * Pods that are made while no replica of the operator runs: where the mesh is strict they are refused until it is back, elsewhere
 * they run, are reported, and healed.
 */
import { expect } from "bun:test";
import type { StatusReport } from "../../src/status/index.ts";
import { type ClusterNamespace, eventually } from "../support/cluster.ts";
import { install, tulle } from "../support/install.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, curl, deployment, podOf, SERVER_PORTS, server, service, url } from "../support/mesh-apps.ts";

let mesh: Mesh;
let strict: ClusterNamespace;
let loose: ClusterNamespace;
let plain: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  await install(mesh.cluster, ["injection.allowEviction=true"]);
  strict = await mesh.meshed("away-strict", "strict");
  loose = await mesh.meshed("away-loose", "permissive");
  plain = await mesh.namespace("away-plain");
  await strict.apply(podOf("before", server()), service("before"), podOf("client", app(["idle"])));
  await strict.apply(podOf("stranger", server()));
  await strict.ready(["before", "client", "stranger"]);
  await eventually(() => strict.exec("client", ...curl(url("before"))));
  await mesh.operatorReplicas(0);
});
cleanUp(async () => {
  await install(mesh.cluster);
  for (const space of [strict, loose, plain]) await space?.[Symbol.asyncDispose]();
});

/** What `tulle status` says of the permissive namespace, and its exit code. */
async function statusOfLoose(): Promise<{ readonly code: number | null; readonly report: StatusReport }> {
  const { status, stdout } = await tulle(mesh.cluster, ["status", "-n", loose.name, "-o", "json"]);
  return { code: status, report: JSON.parse(stdout) as StatusReport };
}
const unmeshed = ({ pods }: StatusReport) => pods.filter((pod) => pod.state === "unmeshed");

const FIRST_TWO = ".items[*].spec.initContainers[*].name";

holds("92: meshed pods that have met go on talking; whom one has never met is not called in plaintext", async () => {
  const grown = await mesh.growth(strict, "client", "outbound mtls", async () => {
    expect(await strict.exec("client", ...curl(url("before")))).toStartWith("before ");
  });
  expect(grown).toBe(1);
  const stranger = await strict.get("pod/stranger", ".status.podIP");
  const failed = await mesh.growth(strict, "client", "outbound failed-discovery", async () => {
    const tried = await strict.tryKubectl(["exec", "client", "--", ...curl(url(stranger, SERVER_PORTS.http))]);
    expect(tried.status).not.toBe(0);
  });
  expect(failed).toBe(1);
});

holds("a pod of a strict namespace is refused, with the reason and what to do", async () => {
  const refused = await strict.tryApply(podOf("during", app(["idle"])));
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain(`namespace ${strict.name} is strict, and this pod has no Tulle sidecar in front`);
  expect(refused.stderr).toContain("tulle check");
  // What a controller makes is refused too, and waits.
  await strict.apply(deployment("waiting", app(["idle"])));
  await eventually(async () => {
    const events = await strict.kubectl(["get", "events", "--field-selector=reason=FailedCreate"]);
    return events.includes("is strict") ? true : undefined;
  });
});

holds("pods of other namespaces are made, without the sidecar", async () => {
  await loose.apply(podOf("alone", app(["idle"])), deployment("healed", app(["idle"])));
  await plain.apply(podOf("unlabelled", app(["idle"])));
  await loose.ready(["alone"]);
  await plain.ready(["unlabelled"]);
  await loose.ready(["deployment/healed"], "condition=Available");
  expect(await loose.kubectl(["get", "pods", "-o", `jsonpath={${FIRST_TWO}}`])).toBe("");
});

holds("tulle status tells of them, and why; and that no operator answers", async () => {
  const { code, report } = await statusOfLoose();
  expect([code, report.controlPlane.ready]).toEqual([1, false]);
  expect(report.controlPlane.problems[0]?.text).toContain("scaled to 0 replicas");
  expect(report.namespaces).toMatchObject([{ name: loose.name, mode: "permissive", meshed: 0, unmeshed: 2 }]);
  expect(unmeshed(report)).toMatchObject([
    { name: "alone", workload: null, cause: "injector-away" },
    {
      workload: "Deployment/healed",
      cause: "injector-away",
      fix: `kubectl rollout restart -n ${loose.name} deployment/healed`,
    },
  ]);
});

holds("back again, the operator reports those that should be meshed: in an event, and in its metrics", async () => {
  await mesh.operatorReplicas(2);
  await eventually(async () => {
    const events = await loose.kubectl(["get", "events", "-o", "wide"]);
    return /NotMeshed.*pod\/alone.*delete it and make it again/.test(events) ? true : undefined;
  }, 60_000);
  const seen = await eventually(async () => {
    const count = await mesh.operatorMetric("tulle_operator_pods_unmeshed");
    return count > 0 ? count : undefined;
  }, 60_000);
  expect(seen).toBeGreaterThan(0);
  expect(await plain.kubectl(["get", "events"])).not.toContain("NotMeshed");
});

holds(
  "what a controller makes again is evicted and comes back meshed; what none does stays",
  async () => {
    await eventually(async () => {
      const names = await loose.kubectl(["get", "pods", "-l", "app=healed", "-o", `jsonpath={${FIRST_TWO}}`]);
      return names.startsWith("tulle-init tulle-proxy") ? true : undefined;
    }, 90_000);
    await loose.ready(["deployment/healed"], "condition=Available");
    expect(await loose.kubectl(["get", "pod", "alone", "-o", "jsonpath={.spec.initContainers}"])).toBe("");
    const left = await eventually(async () => {
      const count = await mesh.operatorMetric("tulle_operator_pods_unmeshed");
      return count === 1 ? count : undefined;
    }, 60_000);
    expect(left).toBe(1);
  },
  240_000,
);

holds("tulle status names the one that is left, and is content once it is gone", async () => {
  const before = await eventually(async () => {
    const said = await statusOfLoose();
    return said.report.controlPlane.ready === true ? said : undefined;
  });
  expect(before.code).toBe(1);
  expect(unmeshed(before.report)).toMatchObject([{ name: "alone", fix: "delete it and make it again" }]);
  await loose.kubectl(["delete", "pod", "alone"]);
  const after = await statusOfLoose();
  expect([after.code, unmeshed(after.report)]).toEqual([0, []]);
});

holds("the controller in the strict namespace gets its pod, meshed", async () => {
  // Its next try may be some minutes away: a restart is what a person does.
  await strict.kubectl(["rollout", "restart", "deployment/waiting"]);
  await strict.ready(["deployment/waiting"], "condition=Available");
  const pod = await eventually(() => strict.podOf("waiting"));
  expect(await strict.get(`pod/${pod}`, ".spec.initContainers[*].name")).toBe("tulle-init tulle-proxy");
});

/** Installed again, nothing changes; taken away, nothing is left, and the cluster goes on making pods. */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually } from "../support/cluster.ts";
import { install, tulle, valuesOf } from "../support/install.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, deployment, podOf } from "../support/mesh-apps.ts";
import { SYSTEM } from "../support/names.ts";

let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("leaving");
  await space.apply(deployment("meshed", app(["idle"])));
  await space.ready(["deployment/meshed"], "condition=Available");
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

/** All that bears Tulle's label or name, in every namespace, of every kind that the API server lists. */
async function traces(): Promise<string[]> {
  const listed = await mesh.cluster.kubectl(["api-resources", "--verbs=list,delete", "-o", "name"]);
  const kinds = listed
    .split("\n")
    .filter((kind) => kind !== "" && !/^(events|pods\.metrics|nodes\.metrics|componentstatuses)/.test(kind));
  const names = [
    "-o",
    "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name,L:.metadata.labels",
    "--no-headers",
  ];
  const found = await mesh.cluster.kubectl(["get", kinds.join(","), "-A", "--ignore-not-found", ...names]);
  // What scenarios made themselves is not what uninstalling leaves.
  return found
    .split("\n")
    .filter((line) => /tulle/.test(line) && !line.includes("e2e.tulle.dev/") && !line.includes(space.name));
}

holds("kubectl apply of the same installation changes nothing: kubectl diff is empty", async () => {
  await install(mesh.cluster);
  const rendered = await tulle(mesh.cluster, ["install", "-o", "json", ...valuesOf()]);
  expect(rendered.status).toBe(0);
  const diff = await mesh.cluster.tryKubectl(["diff", "--server-side", "--force-conflicts", "-f", "-"], {
    input: rendered.stdout,
  });
  expect([diff.status, diff.stdout]).toEqual([0, ""]);
  const again = await tulle(mesh.cluster, ["install", "--wait", ...valuesOf()]);
  expect(again.status).toBe(0);
});

holds("every object passes the API server's own check (kubectl apply --dry-run=server)", async () => {
  const rendered = await tulle(mesh.cluster, ["install", "-o", "json", ...valuesOf()]);
  const checked = await mesh.cluster.tryKubectl(
    ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"],
    { input: rendered.stdout },
  );
  expect([checked.status, checked.stderr]).toEqual([0, ""]);
});

holds("tulle check finds nothing wrong", async () => {
  const checked = await tulle(mesh.cluster, ["check"]);
  expect([checked.status, checked.stdout]).toEqual([0, expect.any(String)]);
});

holds("uninstalling is refused while a pod is meshed, which is named", async () => {
  const refused = await tulle(mesh.cluster, ["uninstall", "--yes"]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("meshed");
  await mesh.operatorReady();
});

holds(
  "uninstalling with --roll un-meshes what runs, and leaves no object",
  async () => {
    const removed = await tulle(mesh.cluster, ["uninstall", "--roll", "--yes", "--timeout", "2m"]);
    expect([removed.status, removed.stderr]).toEqual([0, expect.any(String)]);
    await space.ready(["deployment/meshed"], "condition=Available");
    const inits = await eventually(async () => {
      const names = await space.podsOf("meshed");
      return names.length === 1
        ? space.kubectl(["get", "pods", "-l", "app=meshed", "-o", "jsonpath={.items[*].spec.initContainers}"])
        : undefined;
    });
    expect(inits).toBe("");
    await mesh.cluster.kubectl(["wait", "--for=delete", `namespace/${SYSTEM}`, "--timeout=60s"], { timeout: 90_000 });
    expect(await traces()).toEqual([]);
  },
  240_000,
);

holds("pods can still be created, in namespaces that ask for a mesh as in others, strict ones too", async () => {
  await using strict = await mesh.meshed("orphaned", "strict");
  await strict.apply(podOf("free", app(["idle"])));
  await strict.ready(["free"]);
});

holds(
  "installed once more, it works",
  async () => {
    await install(mesh.cluster);
    await using strict = await mesh.meshed("anew", "strict");
    await strict.apply(podOf("again", app(["idle"])));
    await strict.ready(["again"]);
    expect(await strict.get("pod/again", ".spec.initContainers[*].name")).toBe("tulle-init tulle-proxy");
  },
  180_000,
);

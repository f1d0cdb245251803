/** Hundreds of pods made in one moment. */
import { expect } from "bun:test";
import { systemClock } from "../../src/cli/system.ts";
import { PODS } from "../../src/cluster/resources.ts";
import { connect, KubeClient } from "../../src/kube/index.ts";
import type { ClusterNamespace } from "../support/cluster.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, podOf } from "../support/mesh-apps.ts";

const COUNT = 300;
let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("many");
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

holds(`${COUNT} pods created at once are all injected, and no review times out`, async () => {
  const connection = await connect({ kubeconfig: mesh.cluster.kubeconfig, env: {} });
  using client = new KubeClient({ connection, clock: systemClock, agent: "tulle-e2e" });
  const failed = await mesh.webhookFailures();
  const began = performance.now();
  // Nothing runs them: injection is done when they are admitted.
  const made = await Promise.all(
    Array.from({ length: COUNT }, async (_, index) => {
      const pod = podOf(`many-${index}`, app(["idle"]), { spec: { schedulerName: "nobody" } });
      const metadata = { ...pod.metadata, namespace: space.name };
      const object = { ...pod, metadata };
      return (await client.create(PODS, object as never)) as unknown as {
        spec: { initContainers?: readonly { name: string }[] };
      };
    }),
  );
  const took = Math.round(performance.now() - began);
  process.stdout.write(`${COUNT} pods in ${took} ms\n`);
  const meshed = made.filter(({ spec }) => spec.initContainers?.[0]?.name === "tulle-init");
  expect(meshed).toHaveLength(COUNT);
  expect(await mesh.webhookFailures()).toBe(failed);
});

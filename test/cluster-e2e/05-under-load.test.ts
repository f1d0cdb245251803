/** Nobody who calls notices that something is replaced: servers, clients, replicas of the operator, sidecars. */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually, type LocalNode } from "../support/cluster.ts";
import { cleanUp, holds, holdsInNode, Mesh, prepare } from "../support/mesh.ts";
import { app, deployment, podOf, server, service } from "../support/mesh-apps.ts";
import { OPERATOR, SYSTEM } from "../support/names.ts";

interface Tally {
  readonly ok: number;
  readonly failed: number;
  readonly errors: readonly string[];
  readonly by: Readonly<Record<string, number>>;
}

/** More than a considerate server's patience (see apps/app.ts) and its last requests. */
const GRACE = { terminationGracePeriodSeconds: 20 };
let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("load");
  await space.apply(
    deployment("server", server(), { replicas: 2, spec: GRACE }),
    service("server"),
    podOf("load", app(["load", "http://server/?ms=20"]), { spec: GRACE }),
  );
  await space.ready(["deployment/server"], "condition=Available");
  await space.ready(["load"]);
  // The first requests may have come before the Service had endpoints: the count begins here.
  await space.kubectl(["delete", "pod", "load"]);
  await space.apply(podOf("load", app(["load", "http://server/?ms=20"]), { spec: GRACE }));
  await space.ready(["load"]);
  await requests(50);
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

async function tally(): Promise<Tally> {
  return JSON.parse(await eventually(() => space.exec("load", "curl", "-sS", "http://127.0.0.1:7071/"))) as Tally;
}

/** Waits until that many more requests were answered; answers the tally. */
async function requests(more: number): Promise<Tally> {
  const before = await tally();
  return eventually(async () => {
    const now = await tally();
    return now.ok - before.ok >= more ? now : undefined;
  }, 60_000);
}

/** No request fails while `act` runs, and a while after. */
async function unnoticed(act: () => Promise<unknown>): Promise<Tally> {
  const before = await tally();
  await act();
  const after = await requests(100);
  expect([after.failed - before.failed, after.errors]).toEqual([0, before.errors]);
  return after;
}

holds(
  "99: a rolling restart of the servers",
  async () => {
    const olds = await space.podsOf("server");
    const after = await unnoticed(async () => {
      await space.kubectl(["rollout", "restart", "deployment/server"]);
      await space.kubectl(["rollout", "status", "deployment/server", "--timeout=110s"], { timeout: 120_000 });
      await space.kubectl(["wait", "--for=delete", ...olds.map((name) => `pod/${name}`), "--timeout=60s"], {
        timeout: 90_000,
      });
    });
    expect(Object.keys(after.by).length).toBeGreaterThanOrEqual(3);
  },
  240_000,
);

holds(
  "99: a rolling restart of clients, each of which ends without a failed request",
  async () => {
    await space.apply(deployment("caller", app(["load", "http://server/?ms=20"]), { replicas: 2, spec: GRACE }));
    await space.ready(["deployment/caller"], "condition=Available");
    const olds = await space.podsOf("caller");
    // Their last words come with the end of their logs, before the pods are gone.
    const logs = olds.map((name) => space.kubectl(["logs", "-f", name], { timeout: 110_000 }));
    await space.kubectl(["rollout", "restart", "deployment/caller"]);
    await space.kubectl(["rollout", "status", "deployment/caller", "--timeout=110s"], { timeout: 120_000 });
    for (const log of await Promise.all(logs)) {
      const last = JSON.parse(log.trim().split("\n").at(-1) ?? "") as Tally;
      expect([last.failed, last.errors]).toEqual([0, []]);
      expect(last.ok).toBeGreaterThan(0);
    }
    await space.kubectl(["delete", "deployment/caller", "--wait=false"]);
  },
  240_000,
);

holds(
  "both replicas of the operator killed, one after the other",
  async () => {
    await unnoticed(async () => {
      for (const pod of await mesh.operatorPods()) {
        await mesh.system(["delete", "pod", pod, "--grace-period=0", "--force"]);
        await mesh.operatorReady();
      }
    });
  },
  240_000,
);

holds(
  "the whole operator killed at once",
  async () => {
    await unnoticed(async () => {
      await mesh.system([
        "delete",
        "pods",
        "-l",
        "app.kubernetes.io/component=operator",
        "--grace-period=0",
        "--force",
      ]);
      await requests(100);
      await mesh.operatorReady();
    });
  },
  240_000,
);

holds(
  "a rolling restart of the operator, while pods are made that are meshed and get their certificates",
  async () => {
    await unnoticed(async () => {
      await mesh.system(["rollout", "restart", OPERATOR]);
      const names = Array.from({ length: 6 }, (_, index) => `during-${index}`);
      for (const name of names) {
        await space.apply(podOf(name, app(["idle"])));
        await Bun.sleep(500);
      }
      await mesh.operatorReady();
      await space.ready(names);
      for (const name of names) {
        expect(await space.get(`pod/${name}`, ".spec.initContainers[*].name")).toBe("tulle-init tulle-proxy");
      }
      await space.kubectl(["delete", "pods", ...names, "--wait=false"]);
    });
  },
  240_000,
);

holdsInNode(
  "102: a sidecar killed for want of memory comes back, and its pod with it",
  async () => {
    const victim = "victim";
    await space.apply(podOf(victim, server()), service(victim));
    await space.ready([victim]);
    await eventually(() => space.exec("load", "curl", "-sS", "--fail", "-m", "5", `http://${victim}/`));
    await exhaustMemory(mesh.node, (await proxyStatus(victim)).containerID);
    const status = await eventually(async () => {
      const now = await proxyStatus(victim);
      return now.restartCount > 0 && now.ready ? now : undefined;
    }, 60_000);
    expect(status.lastState?.terminated?.reason).toBe("OOMKilled");
    await space.ready([victim]);
    const answer = await eventually(() => space.exec("load", "curl", "-sS", "--fail", "-m", "5", `http://${victim}/`));
    expect(answer).toStartWith(`${victim} `);
    // It calls, too: as the same workload, with a certificate of its own again.
    const grown = await mesh.growth(space, victim, "outbound mtls", async () => {
      await space.exec(victim, "curl", "-sS", "--fail", "-m", "5", "http://server/");
    });
    expect(grown).toBe(1);
  },
  180_000,
);

interface ContainerStatus {
  readonly name: string;
  readonly containerID: string;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly lastState?: { readonly terminated?: { readonly reason: string } };
}

async function proxyStatus(pod: string): Promise<ContainerStatus> {
  const { status } = JSON.parse(await space.kubectl(["get", "pod", pod, "-o", "json"])) as {
    status: { initContainerStatuses: readonly ContainerStatus[] };
  };
  const found = status.initContainerStatuses.find(({ name }) => name === "tulle-proxy");
  if (found === undefined) throw new Error(`${pod} has no tulle-proxy`);
  return found;
}

/**
 * In the container's own memory group a process eats what is left of its limit; the sidecar is marked as the one that the kernel
 * shall kill for it.
 */
async function exhaustMemory(node: LocalNode, containerId: string): Promise<void> {
  const id = containerId.replace("containerd://", "");
  const script = `set -e
    pid=$(ctr -n k8s.io tasks ls | awk '$1 == "${id}" { print $2 }')
    group=$(grep -E ':memory:|^0::' /proc/$pid/cgroup | head -n 1)
    root=/sys/fs/cgroup/memory; [ -d $root ] || root=/sys/fs/cgroup
    echo 1000 >/proc/$pid/oom_score_adj
    echo $$ >$root\${group##*:}/cgroup.procs
    head -c 2G /dev/zero | timeout 20 tail >/dev/null & eating=$!
    while [ -d /proc/$pid ] && kill -0 $eating; do sleep 0.1; done
    kill $eating || true`;
  await node.run("bash", "-c", script);
}

// The mesh is whole again for whoever comes next.
cleanUp(async () => {
  await mesh?.cluster.tryKubectl(["-n", SYSTEM, "rollout", "status", OPERATOR, "--timeout=60s"], { timeout: 90_000 });
});

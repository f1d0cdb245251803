/** What people do with kubectl works on a meshed, strict pod as on any other. */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClusterNamespace, eventually, firstLine } from "../support/cluster.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { curl, podOf, SERVER_PORTS, server, service, url } from "../support/mesh-apps.ts";

let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("kubectl");
  await space.apply(podOf("server", server()), service("server"));
  await space.ready(["server"]);
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

holds("kubectl exec means the application, with its exit code and what is sent to it", async () => {
  expect(await space.kubectl(["exec", "-i", "server", "--", "cat"], { input: "through\n" })).toBe("through\n");
  expect((await space.tryKubectl(["exec", "server", "--", "sh", "-c", "exit 3"])).status).toBe(3);
  expect((await space.tryKubectl(["exec", "server", "-c", "tulle-proxy", "--", "tulle", "version"])).stdout).toContain(
    "tulle",
  );
});

holds("kubectl logs means the application, and -f ends with it", async () => {
  const script = ["sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done"];
  const container = { name: "app", image: "tulle-test-apps:local", imagePullPolicy: "IfNotPresent", command: script };
  await space.apply(podOf("talker", container, { spec: { restartPolicy: "Never" } }));
  await space.ready(["talker"], "jsonpath={.status.initContainerStatuses[1].started}=true");
  const followed = await eventually(async () => {
    const log = await space.kubectl(["logs", "-f", "talker"]);
    return log.includes("line 5") ? log : undefined;
  });
  expect(followed).toBe("line 1\nline 2\nline 3\nline 4\nline 5\n");
});

for (const target of ["pod/server", "service/server"]) {
  holds(`kubectl port-forward ${target} reaches it past the mesh, strict as it is`, async () => {
    const port = target.startsWith("pod") ? SERVER_PORTS.http : 80;
    const forward = Bun.spawn(mesh.cluster.kubectlCommand("-n", space.name, "port-forward", target, `:${port}`), {
      stdout: "pipe",
      stderr: "ignore",
      stdin: "ignore",
    });
    try {
      const local = /127\.0\.0\.1:(\d+)/.exec(await firstLine(forward.stdout))?.[1];
      const response = await fetch(`http://127.0.0.1:${local}/`, { method: "POST", body: "forwarded" });
      expect(await response.text()).toMatch(/^server .* forwarded\n$/);
    } finally {
      forward.kill();
      await forward.exited;
    }
  });
}

holds("kubectl cp brings files in and out", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tulle-cp-"));
  try {
    const text = crypto.randomUUID().repeat(10_000);
    writeFileSync(join(folder, "there"), text);
    await space.kubectl(["cp", join(folder, "there"), "server:/tmp/copied"]);
    await space.kubectl(["cp", "server:/tmp/copied", join(folder, "back")]);
    expect(readFileSync(join(folder, "back"), "utf8") === text).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

holds("kubectl debug puts a container beside it, whose traffic is the pod's", async () => {
  const guest = ["--image=ubuntu:local", "-c", "guest", "--profile=general", "--", "sleep", "infinity"];
  await space.kubectl(["debug", "server", ...guest]);
  await eventually(() => space.kubectl(["exec", "server", "-c", "guest", "--", "true"]));
  await space.apply(podOf("other", server()));
  await space.ready(["other"]);
  const ip = await space.get("pod/other", ".status.podIP");
  const grown = await mesh.growth(space, "server", "outbound mtls", async () => {
    const answer = await space.kubectl(["exec", "server", "-c", "guest", "--", ...curl(url(ip, SERVER_PORTS.http))]);
    expect(answer).toStartWith("other ");
  });
  expect(grown).toBe(1);
});

holds("the API server's own proxy is refused by a strict pod, as every plaintext is", async () => {
  const path = `/api/v1/namespaces/${space.name}/pods/server:${SERVER_PORTS.http}/proxy/`;
  expect((await mesh.cluster.tryKubectl(["get", "--raw", path])).status).not.toBe(0);
});

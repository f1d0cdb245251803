/** Containers as the mesh uses them: sidecars, NET_ADMIN, volumes, and kubectl's ways in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClusterNamespace, eventually, firstLine, LocalCluster, pod, SHELL } from "../../support/cluster.ts";

const cluster = await LocalCluster.find();
let space: ClusterNamespace;

beforeAll(async () => {
  space = await cluster.namespace("pods");
  await space.apply(pod("shell", { containers: [SHELL] }));
  await space.ready(["shell"]);
});
afterAll(() => space?.[Symbol.asyncDispose]());

test("an init container with NET_ADMIN leads the app's connections into a native sidecar, of either family", async () => {
  const rules = ["iptables", "ip6tables"].flatMap((family) => [
    `${family} -t nat -A OUTPUT -p tcp -m owner --uid-owner 1337 -j RETURN`,
    `${family} -t nat -A OUTPUT -p tcp --dport 9999 -j REDIRECT --to-ports 8080`,
    `${family}-save -t nat`,
  ]);
  await space.apply(
    pod("meshed", {
      initContainers: [
        {
          name: "rules",
          image: "ubuntu:local",
          command: ["bash", "-ec", rules.join("\n")],
          securityContext: { runAsUser: 0, capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] } },
        },
        {
          name: "proxy",
          image: "busybox:local",
          restartPolicy: "Always",
          command: ["sh", "-c", "cd /tmp && echo by the sidecar >index.html && exec httpd -f -p 8080"],
          startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
          securityContext: { runAsUser: 1337, allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        },
      ],
      containers: [
        {
          name: "app",
          image: "ubuntu:local",
          command: [
            "bash",
            "-c",
            "for host in 192.0.2.1 [2001:db8::1]; do curl -sS -m 5 http://$host:9999/; done; sleep infinity",
          ],
        },
      ],
    }),
  );
  await space.ready(["meshed"]);
  expect(await space.kubectl(["logs", "meshed", "-c", "rules"])).toContain("--to-ports 8080");
  await eventually(async () => {
    const log = await space.kubectl(["logs", "meshed", "-c", "app"]);
    if (log === "by the sidecar\nby the sidecar\n") return true;
    throw new Error(`the app saw: ${log}`);
  }, 10_000);
});

test("a Job completes although its sidecar would run on, and the sidecar is asked to end", async () => {
  const sidecar = "trap 'echo asked to end; exit 0' TERM; while :; do sleep 0.1; done";
  await space.apply({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "job" },
    spec: {
      template: {
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: 5,
          initContainers: [
            { name: "sidecar", image: "busybox:local", restartPolicy: "Always", command: ["sh", "-c", sidecar] },
          ],
          containers: [{ name: "main", image: "busybox:local", command: ["true"] }],
        },
      },
    },
  });
  await space.ready(["job/job"], "condition=Complete");
  expect(await space.kubectl(["logs", "job/job", "-c", "sidecar"])).toBe("asked to end\n");
});

test("an image without a tag needs no registry", async () => {
  await space.apply(pod("untagged", { containers: [{ ...SHELL, image: "ubuntu" }] }));
  await space.ready(["untagged"]);
});

test("volumes: memory, configuration, the pod's own labels", async () => {
  await space.apply(
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { mode: "STRICT" } },
    pod(
      "volumes",
      {
        containers: [
          {
            ...SHELL,
            volumeMounts: [
              { name: "memory", mountPath: "/memory" },
              { name: "settings", mountPath: "/settings" },
            ],
          },
        ],
        volumes: [
          { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
          {
            name: "settings",
            projected: {
              sources: [
                { configMap: { name: "settings" } },
                { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
              ],
            },
          },
        ],
      },
      { app: "volumes" },
    ),
  );
  await space.ready(["volumes"]);
  expect(await space.exec("volumes", "cat", "/settings/mode", "/settings/labels")).toBe('STRICTapp="volumes"');
  expect(await space.exec("volumes", "stat", "-fc", "%T", "/memory")).toBe("tmpfs\n");
});

test("exec passes standard input and the exit status", async () => {
  const echoed = await space.kubectl(["exec", "-i", "shell", "--", "cat"], { input: "to and fro" });
  expect(echoed).toBe("to and fro");
  expect((await space.tryKubectl(["exec", "shell", "--", "sh", "-c", "exit 7"])).status).toBe(7);
});

test("port-forward leads to a pod's own loopback", async () => {
  const httpd = ["sh", "-c", "echo behind loopback >/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www"];
  await space.apply(pod("loopback", { containers: [{ name: "httpd", image: "busybox:local", command: httpd }] }));
  await space.ready(["loopback"]);
  const forward = Bun.spawn(cluster.kubectlCommand("-n", space.name, "port-forward", "pod/loopback", ":8080"));
  try {
    const port = /127\.0\.0\.1:(\d+)/.exec(await firstLine(forward.stdout))?.[1];
    const answer = await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
    expect(answer).toBe("behind loopback\n");
  } finally {
    forward.kill();
    await forward.exited;
  }
});

/** The runtime has to say that it can; containerd before 2.0 says nothing. */
const userNamespaces = await cluster.kubectl([
  ...["get", "nodes", "-o", "jsonpath={.items[*].status.runtimeHandlers[*].features.userNamespaces}"],
]);
test.skipIf(!userNamespaces.includes("true"))("a pod in a user namespace is root in there only", async () => {
  await space.apply(pod("user-namespace", { hostUsers: false, containers: [SHELL] }));
  await space.ready(["user-namespace"]);
  const [inside, outside] = (await space.exec("user-namespace", "cat", "/proc/self/uid_map")).trim().split(/\s+/);
  expect(inside).toBe("0");
  expect(Number(outside)).toBeGreaterThan(0);
});

/** The kubelet's probes of a strict pod: of every kind, with the answer that the application gives. */
import { expect } from "bun:test";
import { type ClusterNamespace, eventually } from "../support/cluster.ts";
import { cleanUp, holds, Mesh, prepare } from "../support/mesh.ts";
import { app, podOf, SERVER_PORTS, service } from "../support/mesh-apps.ts";

const NAMED = { ports: [{ name: "health", containerPort: SERVER_PORTS.health }] };
const KINDS: Readonly<Record<string, object>> = {
  "http-get": { httpGet: { path: "/healthz?full=1", port: SERVER_PORTS.health } },
  "http-get-of-a-named-port": {
    httpGet: { path: "/", port: "health", httpHeaders: [{ name: "x-probe", value: "yes" }] },
  },
  "tcp-socket": { tcpSocket: { port: SERVER_PORTS.tcp } },
  grpc: { grpc: { port: SERVER_PORTS.grpc } },
  exec: { exec: { command: ["curl", "-sS", "--fail", `http://127.0.0.1:${SERVER_PORTS.health}/`] } },
};
/** Nobody listens there. */
const CLOSED: Readonly<Record<string, object>> = {
  "http-get": { httpGet: { path: "/", port: 8099 } },
  "tcp-socket": { tcpSocket: { port: 8099 } },
  grpc: { grpc: { port: 8099 } },
};

let mesh: Mesh;
let space: ClusterNamespace;

prepare(async () => {
  mesh = await Mesh.find();
  space = await mesh.meshed("probes");
});
cleanUp(async () => space?.[Symbol.asyncDispose]());

function probed(kinds: object): object {
  return app(["server"], { container: { ...NAMED, ...kinds } });
}

holds("80, 106: each kind, as startup, liveness and readiness probe, is answered by the application", async () => {
  const names = Object.keys(KINDS);
  await space.apply(
    ...Object.entries(KINDS).map(([name, probe]) => {
      const often = { ...probe, periodSeconds: 1 };
      const startupProbe = { ...often, failureThreshold: 60 };
      return podOf(name, probed({ startupProbe, livenessProbe: often, readinessProbe: often }));
    }),
  );
  await space.ready(names);
  for (const name of names) {
    expect(await space.get(`pod/${name}`, ".status.containerStatuses[0].restartCount")).toBe("0");
    // Strict, so what the kubelet asked the pod directly would have been refused.
    expect((await mesh.connections(space, name)).get("inbound refused-strict")).toBeUndefined();
  }
});

holds("a readiness probe of each kind says no where nobody answers, and the pod is in no Service", async () => {
  const names = Object.keys(CLOSED).map((name) => `unready-${name}`);
  await space.apply(
    ...Object.entries(CLOSED).map(([name, probe]) =>
      podOf(`unready-${name}`, probed({ readinessProbe: { ...probe, periodSeconds: 1 } }), {
        labels: { app: "unready" },
      }),
    ),
    service("unready"),
  );
  for (const name of names) {
    await eventually(async () => {
      const events = await space.kubectl(["get", "events", "--field-selector", `involvedObject.name=${name}`]);
      return /Readiness probe failed/.test(events.slice(events.indexOf("app"))) ? true : undefined;
    }, 60_000);
    expect(await space.get(`pod/${name}`, ".status.containerStatuses[0].ready")).toBe("false");
    expect(await space.get(`pod/${name}`, ".status.containerStatuses[0].started")).toBe("true");
  }
});

holds("a liveness probe that fails restarts the application, not its sidecar", async () => {
  const livenessProbe = { httpGet: { path: "/", port: 8099 }, periodSeconds: 1, failureThreshold: 2 };
  await space.apply(podOf("dying", probed({ livenessProbe })));
  const restarts = await eventually(async () => {
    const count = Number(await space.get("pod/dying", ".status.containerStatuses[0].restartCount"));
    return count > 0 ? count : undefined;
  }, 60_000);
  expect(restarts).toBeGreaterThan(0);
  expect(await space.get("pod/dying", ".status.initContainerStatuses[1].restartCount")).toBe("0");
  await space.kubectl(["delete", "pod", "dying", "--wait=false"]);
});

holds("101: a lifecycle handler of the application works: before its end it calls another pod", async () => {
  await space.apply(podOf("witness", app(["server"])), service("witness"));
  await space.ready(["witness"]);
  const preStop = { exec: { command: ["curl", "-sS", "--fail", "-m", "5", "http://witness/"] } };
  await space.apply(
    podOf("leaving", app(["idle"], { container: { lifecycle: { preStop } } }), {
      spec: { terminationGracePeriodSeconds: 20 },
    }),
  );
  await space.ready(["leaving"]);
  const grown = await mesh.growth(space, "witness", "inbound mtls", async () => {
    await space.kubectl(["delete", "pod", "leaving", "--timeout=60s"]);
  });
  expect(grown).toBe(1);
});

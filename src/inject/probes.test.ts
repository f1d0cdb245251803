import { describe, expect, test } from "bun:test";
import { ENV } from "../mesh/index.ts";
import { applyPatch, InjectError, injectPod, type JsonObject } from "./index.ts";
import { encodeProbes } from "./probes.ts";

const CONFIG = { image: "tulle:latest", version: "0.1.0", trustDomain: "cluster.local", operatorAddress: "o:15012" };

interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly [field: string]: unknown;
}

/** The meshed pod's containers, what its proxy was told of probes, and the warnings. */
function meshed(containers: readonly object[], initContainers?: readonly object[]) {
  const pod = { metadata: {}, spec: { containers, ...(initContainers === undefined ? {} : { initContainers }) } };
  const made = injectPod(pod, CONFIG);
  if (made.outcome !== "injected") throw new Error(made.outcome);
  const { spec } = applyPatch(pod as JsonObject, made.patch) as unknown as {
    spec: { containers: Container[]; initContainers: Container[] };
  };
  const told = spec.initContainers[1]?.env?.find((one) => one.name === ENV.probes)?.value;
  return { ...spec, told: told === undefined ? undefined : (JSON.parse(told) as unknown), made };
}

const PORTS = [{ name: "web", containerPort: 8080 }];

describe("a handler is replaced as a whole", () => {
  test("timing and unknown fields stay, the original goes to the proxy with its port resolved", () => {
    const httpGet = {
      path: "/live",
      port: "web",
      scheme: "HTTPS",
      httpHeaders: [{ name: "A", value: "b" }],
      futureField: 1,
    };
    const livenessProbe = {
      httpGet,
      periodSeconds: 3,
      timeoutSeconds: 7,
      terminationGracePeriodSeconds: 9,
      futureField: [],
    };
    const { containers, told } = meshed([{ name: "app", ports: PORTS, livenessProbe }]);
    expect(containers[0]?.["livenessProbe"]).toEqual({
      ...livenessProbe,
      httpGet: { path: "/probe/app/livez", port: 15020 },
    });
    expect(told).toEqual({ "/probe/app/livez": { httpGet, port: 8080, timeoutSeconds: 7 } });
  });

  test("tcpSocket and grpc become a GET too", () => {
    const { containers, told } = meshed([
      { name: "a", ports: PORTS, readinessProbe: { tcpSocket: { port: "web" } } },
      { name: "b", startupProbe: { grpc: { port: 9090, service: "shop.Cart" }, failureThreshold: 4 } },
    ]);
    expect(containers[0]?.["readinessProbe"]).toEqual({ httpGet: { path: "/probe/a/readyz", port: 15020 } });
    expect(containers[1]?.["startupProbe"]).toEqual({
      httpGet: { path: "/probe/b/startupz", port: 15020 },
      failureThreshold: 4,
    });
    expect(told).toEqual({
      "/probe/a/readyz": { tcpSocket: { port: "web" }, port: 8080, timeoutSeconds: 1 },
      "/probe/b/startupz": { grpc: { port: 9090, service: "shop.Cart" }, port: 9090, timeoutSeconds: 1 },
    });
  });

  test("in native sidecars and in lifecycle handlers as well", () => {
    const { containers, initContainers, told } = meshed(
      [
        {
          name: "app",
          lifecycle: {
            postStart: { httpGet: { port: 80 } },
            preStop: { httpGet: { port: 81, path: "/stop" } },
            stopSignal: "SIGUSR1",
          },
        },
      ],
      [{ name: "helper", restartPolicy: "Always", startupProbe: { httpGet: { port: 8081 } } }],
    );
    expect(containers[0]?.["lifecycle"]).toEqual({
      postStart: { httpGet: { path: "/lifecycle/app/poststart", port: 15020 } },
      preStop: { httpGet: { path: "/lifecycle/app/prestop", port: 15020 } },
      stopSignal: "SIGUSR1",
    });
    expect(initContainers[2]?.["startupProbe"]).toEqual({ httpGet: { path: "/probe/helper/startupz", port: 15020 } });
    expect(Object.keys(told as object)).toEqual([
      "/probe/helper/startupz",
      "/lifecycle/app/poststart",
      "/lifecycle/app/prestop",
    ]);
  });

  test("no handler of ours names a host (Pod Security Standards, baseline, 1.34)", () => {
    const { containers, initContainers } = meshed([{ name: "a", livenessProbe: { httpGet: { port: 80, host: "" } } }]);
    // What the proxy was told is text, not a probe.
    const shown = JSON.stringify([containers, initContainers], (key, value: unknown) => (key === "env" ? null : value));
    expect(shown).not.toContain('"host"');
  });
});

describe("a handler is left as it is", () => {
  test.each([
    ["exec", { exec: { command: ["true"] } }, 0],
    ["a host of the user's", { httpGet: { port: 80, host: "10.0.0.1" } }, 1],
    ["a port name that is not declared", { tcpSocket: { port: "none" } }, 1],
    ["a port out of range", { tcpSocket: { port: 0 } }, 1],
    ["no handler", { periodSeconds: 1 }, 0],
    ["two handlers, which the API server refuses", { httpGet: { port: 80 }, exec: { command: [] } }, 0],
  ])("%s", (_name, livenessProbe, warnings) => {
    const { containers, told, made } = meshed([{ name: "app", livenessProbe }]);
    expect(containers[0]?.["livenessProbe"]).toEqual(livenessProbe);
    expect(told).toBeUndefined();
    expect(made.warnings).toHaveLength(warnings);
  });

  test("tcpSocket and exec of a lifecycle", () => {
    const lifecycle = { postStart: { tcpSocket: { port: 80 } }, preStop: { exec: { command: ["true"] } } };
    expect(meshed([{ name: "app", lifecycle }]).containers[0]?.["lifecycle"]).toEqual(lifecycle);
  });
});

test("a probe of one of the mesh's own ports is refused", () => {
  expect(() => meshed([{ name: "app", livenessProbe: { httpGet: { port: 15020 } } }])).toThrow(InjectError);
});

test("nothing in the variable can be expanded by Kubernetes, and it reads as it was", () => {
  const probes = { "/a": { httpGet: { port: 1, path: "/$(POD_NAME)/$$x" }, port: 1 } };
  expect(encodeProbes(probes)).not.toContain("$");
  expect(JSON.parse(encodeProbes(probes))).toEqual(probes);
});

import { describe, expect, test } from "bun:test";
import { applyPatch, InjectError, injectPod, type JsonObject } from "./index.ts";

const CONFIG = { image: "tulle:latest", version: "0.1.0", trustDomain: "cluster.local", operatorAddress: "o:15012" };

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly resources: object;
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly startupProbe: { readonly periodSeconds: number; readonly failureThreshold: number };
  readonly securityContext: {
    readonly allowPrivilegeEscalation?: boolean;
    readonly privileged?: boolean;
    readonly runAsUser?: number;
    readonly runAsNonRoot?: boolean;
    readonly procMount?: string;
    readonly seccompProfile?: { readonly type: string };
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  };
  readonly ports?: readonly { readonly hostPort?: number }[];
}

interface Spec {
  readonly initContainers: readonly [Container, Container, ...Container[]];
  readonly volumes: readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

function meshed(annotations: object = {}, spec: object = {}): Spec {
  const pod = { metadata: { annotations }, spec: { containers: [{ name: "app", image: "x" }], ...spec } };
  const made = injectPod(pod, CONFIG);
  if (made.outcome !== "injected") throw new Error(made.outcome);
  return applyPatch(pod as JsonObject, made.patch)["spec"] as Spec;
}

function codeOf(annotations: object, spec: object = {}): string {
  try {
    meshed(annotations, spec);
    return "accepted";
  } catch (error) {
    if (!(error instanceof InjectError)) throw error;
    expect(error.exitCode).toBe(2);
    return error.code;
  }
}

/** The rules of Pod Security admission (k8s.io/pod-security-admission, policy/check_*.go, 1.37) that a container can break. */
function violations(container: Container, volumes: Spec["volumes"]): { baseline: string[]; restricted: string[] } {
  const { securityContext: context } = container;
  const added = context.capabilities?.add ?? [];
  const allowed = [
    ...["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"],
    ...["SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
  ];
  const baseline = [
    ...added.filter((one) => !allowed.includes(one)).map((one) => `capability ${one}`),
    ...(context.privileged === true ? ["privileged"] : []),
    ...((container.ports ?? []).some((port) => port.hostPort !== undefined) ? ["host port"] : []),
    ...((context.procMount ?? "Default") === "Default" ? [] : ["procMount"]),
    ...(context.seccompProfile?.type === "Unconfined" ? ["seccomp"] : []),
    ...(JSON.stringify(container).includes('"host":') ? ["host of a probe"] : []),
    ...(volumes.some((volume) => "hostPath" in volume) ? ["hostPath"] : []),
  ];
  const kinds = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
  ];
  const restricted = [
    ...baseline,
    ...(context.capabilities?.drop?.includes("ALL") === true ? [] : ["does not drop ALL"]),
    ...added.filter((one) => one !== "NET_BIND_SERVICE").map((one) => `adds ${one}`),
    ...(context.runAsNonRoot === true ? [] : ["runAsNonRoot"]),
    ...(context.runAsUser === 0 ? ["runAsUser 0"] : []),
    ...(context.allowPrivilegeEscalation === false ? [] : ["allowPrivilegeEscalation"]),
    ...(["RuntimeDefault", "Localhost"].includes(context.seccompProfile?.type ?? "") ? [] : ["seccomp"]),
    ...(volumes.every((volume) =>
      Object.keys(volume).every((key) => key === "name" || [...kinds, "secret"].includes(key)),
    )
      ? []
      : ["volume kind"]),
  ];
  return { baseline, restricted };
}

describe("Pod Security Standards", () => {
  test("the sidecar passes restricted", () => {
    const { initContainers, volumes } = meshed();
    expect(violations(initContainers[1], volumes)).toEqual({ baseline: [], restricted: [] });
  });

  test("only the init container violates baseline, by NET_ADMIN alone", () => {
    const { initContainers, volumes } = meshed();
    expect(violations(initContainers[0], volumes)).toEqual({
      baseline: ["capability NET_ADMIN"],
      restricted: ["capability NET_ADMIN", "adds NET_ADMIN", "runAsNonRoot", "runAsUser 0"],
    });
  });
});

describe("settings of the whole pod", () => {
  test("that ask for another user do not reach our containers, and stay as they are", () => {
    const spec = {
      securityContext: {
        runAsUser: 1000,
        runAsNonRoot: true,
        fsGroup: 2000,
        sysctls: [{ name: "net.ipv4.tcp_syncookies", value: "1" }],
        supplementalGroups: [5],
      },
      hostUsers: false,
      somethingNew: { deep: [1] },
    };
    const { initContainers, containers: _containers, volumes: _volumes, ...rest } = meshed({}, spec);
    expect(rest).toEqual(spec);
    expect(initContainers[0].securityContext).toMatchObject({ runAsUser: 0, runAsGroup: 0, runAsNonRoot: false });
    expect(initContainers[1].securityContext).toMatchObject({ runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true });
  });

  test("the sidecar has an hour to start: an absent operator sends no pod into back-off", () => {
    const { periodSeconds, failureThreshold } = meshed().initContainers[1].startupProbe;
    expect(periodSeconds * failureThreshold).toBe(3600);
  });
});

describe("annotations", () => {
  test("reach init container and sidecar", () => {
    const { initContainers } = meshed({
      "tulle.dev/skip-inbound-ports": "9100",
      "tulle.dev/skip-outbound-ports": " 3306, 8000-8010",
      "tulle.dev/skip-inbound-cidrs": "10.0.0.0/24",
      "tulle.dev/skip-outbound-cidrs": "fd00::/64, 192.0.2.7",
      "tulle.dev/log-level": "debug",
      "tulle.dev/image": "registry.example.com:5000/tulle@sha256:abc",
      "tulle.dev/mode": "strict",
    });
    expect(initContainers[0].args).toEqual([
      "init",
      "--skip-inbound-ports=9100",
      "--skip-outbound-ports=3306,8000-8010",
      "--skip-inbound-cidrs=10.0.0.0/24",
      "--skip-outbound-cidrs=fd00::/64,192.0.2.7",
    ]);
    expect(initContainers.slice(0, 2).map((one) => one.image)).toEqual(
      Array(2).fill("registry.example.com:5000/tulle@sha256:abc"),
    );
    expect(initContainers[1].env).toContainEqual({ name: "TULLE_LOG_LEVEL", value: "debug" });
  });

  const resources = (annotations: Record<string, string>) =>
    meshed(Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`tulle.dev/proxy-${key}`, value])))
      .initContainers[1].resources;

  test("set resources; a default gives way where the API server would refuse the pair", () => {
    expect(resources({})).toEqual({ requests: { cpu: "20m", memory: "64Mi" }, limits: { memory: "512Mi" } });
    expect(
      resources({ "cpu-request": "0.1", "cpu-limit": "1", "memory-request": "100M", "memory-limit": "1e9" }),
    ).toEqual({ requests: { cpu: "0.1", memory: "100M" }, limits: { cpu: "1", memory: "1e9" } });
    expect(resources({ "cpu-limit": "10m", "memory-limit": "32Mi" })).toEqual({
      requests: { cpu: "10m", memory: "32Mi" },
      limits: { cpu: "10m", memory: "32Mi" },
    });
    expect(resources({ "memory-request": "2Gi" })).toMatchObject({ limits: { memory: "2Gi" } });
  });

  test.each([
    ["tulle.dev/proxy-cpu-request", "fast"],
    ["tulle.dev/proxy-cpu-request", "0"],
    ["tulle.dev/proxy-cpu-limit", "-1"],
    ["tulle.dev/proxy-memory-request", "64MB"],
    ["tulle.dev/proxy-memory-limit", "1 Gi"],
    ["tulle.dev/skip-outbound-cidrs", "10.0.0.1/8"],
    ["tulle.dev/skip-inbound-cidrs", "localhost"],
    ["tulle.dev/skip-inbound-ports", "80,,81"],
    ["tulle.dev/image", "two words"],
    ["tulle.dev/image", "--rm"],
    ["tulle.dev/mode", "permissive"],
  ])("%s: %p is refused", (name, value) => {
    expect(codeOf({ [name]: value })).toBe("bad-annotation");
  });

  test("a request above its limit is refused", () => {
    expect(codeOf({ "tulle.dev/proxy-cpu-request": "2", "tulle.dev/proxy-cpu-limit": "1500m" })).toBe("bad-annotation");
  });
});

describe("a pod whose containers see each other's processes", () => {
  const safe = { runAsUser: 1000, allowPrivilegeEscalation: false };
  const withContext = (securityContext: object, pod: object = {}) => ({
    shareProcessNamespace: true,
    containers: [{ name: "app", image: "x", securityContext }],
    ...pod,
  });
  test.each([
    ["by default", withContext({}), "shared-processes"],
    ["as root", withContext({ ...safe, runAsUser: 0 }), "shared-processes"],
    ["that may gain privileges", withContext({ runAsUser: 1000 }), "shared-processes"],
    ["privileged", withContext({ ...safe, privileged: true }), "shared-processes"],
    [
      "as the image's user, whoever that is",
      withContext({ runAsNonRoot: true, allowPrivilegeEscalation: false }),
      "shared-processes",
    ],
    ["as the proxy's user", withContext({ ...safe, runAsUser: 1337 }), "proxy-uid"],
    ["with the node's processes", { hostPID: true }, "shared-processes"],
    ["as a user that can become no other", withContext(safe), "accepted"],
    [
      "as such a user of the whole pod",
      withContext({ allowPrivilegeEscalation: false }, { securityContext: { runAsUser: 1000 } }),
      "accepted",
    ],
    [
      "with one container that is not safe",
      { ...withContext(safe), initContainers: [{ name: "i", image: "x" }] },
      "shared-processes",
    ],
  ])("%s", (_name, spec, code) => {
    expect(codeOf({}, spec)).toBe(code);
  });
});

/** The objects of scenarios on a cluster: workloads that run the image tulle-test-apps (test/cluster/apps/app.ts). */
import type { Manifest } from "./cluster.ts";

/** On a cluster of one's own it has to be there under this name. */
const IMAGE = process.env["TULLE_TEST_APPS_IMAGE"] ?? "tulle-test-apps:local";

/** Ports of the role `server`. */
export const SERVER_PORTS = { http: 8080, health: 8081, tcp: 8082, grpc: 8083, banner: 9000, hash: 9001 } as const;

export interface AppOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** More fields of the container. */
  readonly container?: object;
  /** More fields of the pod's spec. */
  readonly spec?: object;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A container of the test applications: `role` and its argument. */
export function app(role: readonly string[], options: Pick<AppOptions, "env" | "container"> = {}): object {
  const env = Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value }));
  return { name: "app", image: IMAGE, imagePullPolicy: "IfNotPresent", args: role, env, ...options.container };
}

/** As `app` in the role `server`, ready once it answers. */
export function server(options: Pick<AppOptions, "env" | "container"> = {}): object {
  const readinessProbe = { httpGet: { path: "/", port: SERVER_PORTS.health }, periodSeconds: 1 };
  return app(["server"], { ...options, container: { readinessProbe, ...options.container } });
}

export function podOf(name: string, container: object, options: AppOptions = {}): Manifest {
  return { apiVersion: "v1", kind: "Pod", ...template(name, container, options, { name }) } as unknown as Manifest;
}

export function deployment(
  name: string,
  container: object,
  options: AppOptions & { readonly replicas?: number } = {},
): Manifest {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      replicas: options.replicas ?? 1,
      selector: { matchLabels: { app: name } },
      template: template(name, container, options),
    },
  };
}

export function template(name: string, container: object, options: AppOptions = {}, metadata: object = {}): object {
  const { labels = {}, annotations = {} } = options;
  return {
    metadata: { labels: { app: name, ...labels }, annotations, ...metadata },
    spec: { terminationGracePeriodSeconds: 1, containers: [container], ...options.spec },
  };
}

/** A Service of both address families, port by port; `http` is also served on port 80. */
export function service(name: string, options: { readonly headless?: boolean; readonly app?: string } = {}): Manifest {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: {
      ...(options.headless === true ? { clusterIP: "None" } : {}),
      ipFamilyPolicy: "PreferDualStack",
      selector: { app: options.app ?? name },
      ports: [
        { name: "web", port: 80, targetPort: SERVER_PORTS.http },
        ...Object.entries(SERVER_PORTS).map(([port, number]) => ({ name: port, port: number, targetPort: number })),
        { name: "echo", port: 5353, targetPort: 5353, protocol: "UDP" },
      ],
    },
  };
}

/** The URL of a host of either family. */
export function url(host: string, port = 80): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
}

/** curl that answers the body alone, and fails on any other status. */
export function curl(target: string, body?: string): string[] {
  return ["curl", "-sS", "-g", "--fail", "-m", "10", ...(body === undefined ? [] : ["-d", body]), target];
}

/**
 * The application's probes and lifecycle handlers as the injector hands them to the proxy: the kubelet asks the proxy,
 * and the proxy makes the real one inside the pod, where no mode stands in its way.
 */

/** Fields of a container, and the last word of the path on which the proxy answers for each. */
export const PROBE_WORDS = { livenessProbe: "livez", readinessProbe: "readyz", startupProbe: "startupz" } as const;
export const HOOK_WORDS = { postStart: "poststart", preStop: "prestop" } as const;

/** Kubernetes' own shapes, word for word as the pod had them. */
export interface HttpGetAction {
  readonly path?: string;
  readonly port: number | string;
  readonly scheme?: string;
  readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
}

export interface TcpSocketAction {
  readonly port: number | string;
}

export interface GrpcAction {
  readonly port: number;
  /** Empty or absent: the server as a whole. */
  readonly service?: string | null;
}

/** Exactly one of the three handlers. */
export interface AppProbe {
  readonly httpGet?: HttpGetAction;
  readonly tcpSocket?: TcpSocketAction;
  readonly grpc?: GrpcAction;
  /** The handler's port, its name resolved. */
  readonly port: number;
  /** The probe's own; absent on a lifecycle handler, which may last as long as the pod's grace. */
  readonly timeoutSeconds?: number;
}

/** By the path on which the proxy answers. */
export type AppProbes = Readonly<Record<string, AppProbe>>;

/** `/probe/<container>/<livez|readyz|startupz>` */
export function probePath(container: string, word: string): string {
  return `/probe/${container}/${word}`;
}

/** `/lifecycle/<container>/<poststart|prestop>` */
export function hookPath(container: string, word: string): string {
  return `/lifecycle/${container}/${word}`;
}

/** True for the path of a lifecycle handler. */
export function isHookPath(path: string): boolean {
  return path.startsWith("/lifecycle/");
}

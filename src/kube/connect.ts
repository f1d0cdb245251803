/** Finds the cluster to talk to, as kubectl does: a kubeconfig first, else the service account of the pod. */
import type { Connection } from "./connection.ts";
import { KubeError } from "./errors.ts";
import { inClusterConnection } from "./in-cluster.ts";
import { kubeconfigFiles } from "./kubeconfig-files.ts";

export interface ConnectOptions {
  /** A kubeconfig file that is read instead of KUBECONFIG and ~/.kube/config. */
  readonly kubeconfig?: string | undefined;
  /** A context other than the current one. */
  readonly context?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Nothing is sent yet. The official library is loaded only when there is a kubeconfig.
 * Throws `no-config` and `bad-config`.
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const files = kubeconfigFiles(options.kubeconfig, options.env);
  if (files.length === 0) {
    const pod = inClusterConnection(options.env);
    if (pod !== undefined) return pod;
    throw new KubeError("no-config", "no cluster is configured: there is no kubeconfig, and this is no pod");
  }
  const { KubeConfig } = await import("@kubernetes/client-node");
  const { KubeconfigConnection } = await import("./kubeconfig-connection.ts");
  return new KubeconfigConnection(KubeConfig, files, options.context);
}

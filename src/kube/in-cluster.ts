/**
 * The service account of the pod that the process runs in. Token and CA are read again for every request: the kubelet
 * renews the token at 80 % of its life, and a cluster's CA may grow while the pod lives. The official library is not
 * loaded (58 MB).
 */
import { readFileSync } from "node:fs";
import type { KubeConfig } from "@kubernetes/client-node";
import type { Connection, Credentials } from "./connection.ts";
import { KubeError } from "./errors.ts";

/** Where the kubelet mounts the default token volume. */
export const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Undefined when the environment is not that of a pod. */
export function inClusterConnection(
  env: Readonly<Record<string, string | undefined>>,
  folder = SERVICE_ACCOUNT_FOLDER,
): Connection | undefined {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"];
  if (host === undefined || host === "" || port === undefined || port === "") return undefined;
  return new InClusterConnection(`https://${host.includes(":") ? `[${host}]` : host}:${port}`, folder);
}

class InClusterConnection implements Connection {
  readonly server: string;
  readonly namespace: string;
  // The service range is never behind a proxy, and Bun does not match CIDRs in NO_PROXY as Go does.
  readonly proxy = false;
  readonly #folder: string;

  constructor(server: string, folder: string) {
    this.server = server;
    this.#folder = folder;
    this.namespace = this.#optional("namespace") ?? "default";
  }

  async credentials(): Promise<Credentials> {
    return { headers: { authorization: `Bearer ${this.#token()}` }, tls: { ca: this.#read("ca.crt") } };
  }

  refresh(): void {
    // Nothing is cached.
  }

  async library(): Promise<KubeConfig> {
    const { KubeConfig } = await import("@kubernetes/client-node");
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "pod", server: this.server, caFile: `${this.#folder}/ca.crt`, skipTLSVerify: false },
      { name: "pod", token: this.#token() },
    );
    return config;
  }

  #token(): string {
    const token = this.#read("token").trim();
    // A line break or a foreign character would otherwise fail later, in an error that shows the header.
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new KubeError("no-credentials", `${this.#folder}/token holds no token`, { hint: HINT });
    return token;
  }

  #read(name: string): string {
    try {
      return readFileSync(`${this.#folder}/${name}`, "utf8");
    } catch (cause) {
      throw new KubeError("no-credentials", `cannot read ${this.#folder}/${name}`, { cause, hint: HINT });
    }
  }

  #optional(name: string): string | undefined {
    try {
      return readFileSync(`${this.#folder}/${name}`, "utf8").trim() || undefined;
    } catch {
      return undefined;
    }
  }
}

const HINT = "Give the pod a service account and do not set automountServiceAccountToken: false.";

/** How to reach one API server and as whom: what a kubeconfig context or a pod's service account comes to. */
import type { KubeConfig } from "@kubernetes/client-node";

/** TLS of one request. Files were read already. */
export interface TlsSettings {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly serverName?: string;
  readonly rejectUnauthorized?: boolean;
}

/** What a request carries. Never logged. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsSettings;
}

export interface Connection {
  /** `https://host:port`, perhaps with a path, never with a slash at the end. */
  readonly server: string;
  /** The namespace of the context or of the pod. */
  readonly namespace: string;
  /** URL of a proxy to use, `false` for none whatever the environment says, undefined to follow the environment. */
  readonly proxy: string | false | undefined;
  /** Fresh credentials: tokens and files are read again, plugins run when theirs have expired. Throws `no-credentials`. */
  credentials(): Promise<Credentials>;
  /** The server refused the last credentials: what was cached is forgotten. */
  refresh(): void;
  /** The same connection for the official library (exec, port-forward), with the credentials of now. */
  library(): Promise<KubeConfig>;
}

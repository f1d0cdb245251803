/** Clients of a test's API server, each with a certificate or a token. */
import { createSign } from "node:crypto";
import { systemClock, systemRandom } from "../../src/cli/system.ts";
import { type Connection, KubeClient, type KubeObject, type Resource, resource } from "../../src/kube/index.ts";
import { type ApiServer, ISSUER } from "./api-server.ts";

export { systemClock, systemRandom };

export interface Pod extends KubeObject {
  readonly spec: {
    readonly containers: readonly { readonly name: string; readonly image: string }[];
    readonly nodeName?: string;
  };
  readonly status?: { readonly phase?: string; readonly podIP?: string };
}

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const PODS: Resource<Pod> = resource("v1", "Pod", "pods");
export const CONFIG_MAPS: Resource<ConfigMap> = resource("v1", "ConfigMap", "configmaps");
export const NAMESPACES: Resource<KubeObject> = resource("v1", "Namespace", "namespaces", "cluster");
export const SERVICE_ACCOUNTS: Resource<KubeObject> = resource("v1", "ServiceAccount", "serviceaccounts");

/** By client certificate `user.crt`; through another port when a relay stands between. */
export function certificateConnection(server: ApiServer, user: string, port = server.port): Connection {
  const tls = { ca: server.read("ca.crt"), cert: server.read(`${user}.crt`), key: server.read(`${user}.key`) };
  return fixed(`https://127.0.0.1:${port}`, { headers: {}, tls });
}

export function tokenConnection(server: ApiServer, token: string): Connection {
  return fixed(server.url, { headers: { authorization: `Bearer ${token}` }, tls: { ca: server.read("ca.crt") } });
}

function fixed(server: string, credentials: Awaited<ReturnType<Connection["credentials"]>>): Connection {
  return {
    server,
    namespace: "default",
    proxy: false,
    credentials: async () => credentials,
    refresh() {},
    library: () => Promise.reject(new Error("not needed here")),
  };
}

export function client(connection: Connection): KubeClient {
  return new KubeClient({ connection, clock: systemClock, agent: "tulle/kube-check" });
}

export const admin = (server: ApiServer, port?: number): KubeClient =>
  client(certificateConnection(server, "admin", port));

/** About 5 KB as the API server returns it, with what it adds; a pod of a real application is as large. */
export function pod(namespace: string, name: string, labels: Readonly<Record<string, string>> = {}): Pod {
  return {
    metadata: {
      namespace,
      name,
      labels: { app: "web", ...labels },
      annotations: { "example.com/filler": "x".repeat(3000) },
    },
    spec: { containers: [{ name: "app", image: "registry.example/app:1" }] },
  };
}

/** Runs `work` for 0…count-1, `width` at a time. */
export async function spread(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

/** A bound token as the API server signs it, but with an expiry of our own: it grants none under ten minutes. */
export function signToken(server: ApiServer, account: KubeObject, seconds: number, audience = ISSUER): string {
  const now = Math.floor(Date.now() / 1000);
  const { namespace, name, uid } = account.metadata;
  const claims = {
    iss: ISSUER,
    sub: `system:serviceaccount:${namespace}:${name}`,
    aud: [audience],
    iat: now,
    nbf: now,
    exp: now + seconds,
    "kubernetes.io": { namespace, serviceaccount: { name, uid } },
  };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(server.read("sa.key")).toString("base64url")}`;
}

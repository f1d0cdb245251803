/** What the API server serves: its version, and which kinds in which versions. */
import type { CallOptions, KubeClient } from "./client.ts";
import { isKubeError } from "./errors.ts";

export interface ServerVersion {
  readonly gitVersion: string;
  readonly major: number;
  readonly minor: number;
}

export async function serverVersion(client: KubeClient, options: CallOptions = {}): Promise<ServerVersion> {
  const said = await getJson<{ gitVersion: string; major: string; minor: string }>(client, "/version", options);
  // Some providers write a minor of "30+".
  return {
    gitVersion: said.gitVersion,
    major: Number.parseInt(said.major, 10),
    minor: Number.parseInt(said.minor, 10),
  };
}

/** Versions of a group, the preferred one first; empty when the group is not served. The core group is "". */
export async function groupVersions(
  client: KubeClient,
  group: string,
  options: CallOptions = {},
): Promise<readonly string[]> {
  if (group === "") return (await getJson<{ versions: readonly string[] }>(client, "/api", options)).versions;
  try {
    const found = await getJson<ApiGroup>(client, `/apis/${encodeURIComponent(group)}`, options);
    const versions = found.versions.map((one) => one.version);
    const preferred = found.preferredVersion?.version;
    return preferred === undefined ? versions : [preferred, ...versions.filter((one) => one !== preferred)];
  } catch (error) {
    if (isKubeError(error, "not-found")) return [];
    throw error;
  }
}

/** One kind of an API version, subresources (`pods/exec`) included. */
export interface ServedResource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
}

/** What `v1` or `group/version` holds; empty when it is not served. */
export async function servedResources(
  client: KubeClient,
  apiVersion: string,
  options: CallOptions = {},
): Promise<readonly ServedResource[]> {
  const parts = apiVersion.split("/").map(encodeURIComponent).join("/");
  try {
    const path = apiVersion.includes("/") ? `/apis/${parts}` : `/api/${parts}`;
    return (await getJson<{ resources: readonly ServedResource[] }>(client, path, options)).resources;
  } catch (error) {
    if (isKubeError(error, "not-found")) return [];
    throw error;
  }
}

interface ApiGroup {
  readonly versions: readonly { readonly version: string }[];
  readonly preferredVersion?: { readonly version: string };
}

function getJson<T>(client: KubeClient, path: string, options: CallOptions): Promise<T> {
  return client.transport.json<T>({
    method: "GET",
    path,
    what: `get ${path}`,
    signal: options.signal,
    timeout: options.timeout,
  });
}

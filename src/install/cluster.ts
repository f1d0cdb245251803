/** What the commands of this room share of a cluster: its client, who writes, how long to wait, and reads that may find nothing. */
import { isKubeError, type KubeClient, type KubeObject, type Name, type Resource } from "../kube/index.ts";
import type { Clock, Millis } from "../mesh/index.ts";

export interface Cluster {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** A pause that keeps the process alive, which a Clock's timers never do. */
  readonly sleep: (span: Millis) => Promise<void>;
  /** Where the operator lives. */
  readonly namespace: string;
  readonly signal?: AbortSignal;
}

/** Who is noted as the manager of the fields that the chart says. */
export const FIELD_MANAGER = "tulle-install";

/** How a command tells what it does. A step ends with `done`, or by the error that ends the command. */
export interface Progress {
  /** A step begins, or the running one has come so far. */
  step(what: string, detail?: string): void;
  /** The running step is over. */
  done(result: string): void;
  /** Something that the user should know and that stops nothing. */
  note(text: string): void;
}

/** Undefined when there is no such object, or no such kind. Throws KubeError else. */
export async function find<T extends KubeObject>(
  { client, signal }: Cluster,
  of: Resource<T>,
  name: Name,
): Promise<T | undefined> {
  try {
    return await client.get(of, name, { signal });
  } catch (error) {
    if (isKubeError(error, "not-found")) return undefined;
    throw error;
  }
}

/** Every object of the kind, in one namespace or in all; none when the kind is not served. */
export async function list<T extends KubeObject>(
  { client, signal }: Cluster,
  of: Resource<T>,
  options: { readonly namespace?: string; readonly labelSelector?: string; readonly fieldSelector?: string } = {},
): Promise<readonly T[]> {
  const found: T[] = [];
  try {
    for await (const page of client.pages(of, { ...options, signal })) found.push(...page.items);
  } catch (error) {
    if (isKubeError(error, "not-found")) return [];
    throw error;
  }
  return found;
}

/** True when there was something to delete. */
export async function remove({ client, signal }: Cluster, of: Resource<KubeObject>, name: Name): Promise<boolean> {
  try {
    await client.delete(of, name, { signal, propagation: "Background" });
    return true;
  } catch (error) {
    if (isKubeError(error, "not-found")) return false;
    throw error;
  }
}

/**
 * The addresses that belong to the mesh, so that none of them ever passes for want of an answer: node's pod CIDRs and the
 * ServiceCIDRs where the cluster tells them, else every pod and cluster IP that is known. Flags override both.
 */
import { isKubeError, type KubeClient } from "../../kube/index.ts";
import { type Clock, cidrContains, type Ip, isIpv6, type Millis, parseCidr } from "../../mesh/index.ts";
import { SERVICE_CIDRS } from "../resources.ts";
import type { ClusterSources } from "./sources.ts";

export interface MeshRanges {
  readonly podRanges: readonly string[];
  readonly serviceRanges: readonly string[];
}

type RangeSources = Pick<ClusterSources, "nodeCidrs" | "pods" | "services">;
type FixedRanges = { readonly pods: readonly string[]; readonly services: readonly string[] };

/** Ranges follow nodes, pods and Services, but not one by one. */
const LOOK_EVERY: Millis = 1_000;

/** The ranges, worked out at most once a second however many proxies ask. */
export class LiveRanges implements Disposable {
  readonly #following: Disposable[];
  #current: MeshRanges;
  #timer: Disposable | undefined;

  /** `changed` is called when they are others. */
  constructor(sources: RangeSources, fixed: FixedRanges, clock: Clock, changed: () => void) {
    this.#current = meshRanges(sources, fixed);
    const look = () => {
      this.#timer = undefined;
      const now = meshRanges(sources, fixed);
      if (JSON.stringify(now) === JSON.stringify(this.#current)) return;
      this.#current = now;
      changed();
    };
    const soon = () => {
      this.#timer ??= clock.after(LOOK_EVERY, look);
    };
    this.#following = [sources.nodeCidrs.follow(soon), sources.pods.follow(soon), sources.services.follow(soon)];
  }

  get current(): MeshRanges {
    return this.#current;
  }

  [Symbol.dispose](): void {
    for (const following of this.#following) following[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
  }
}

/** The CIDRs of the cluster's Services; none where the API does not tell (before Kubernetes 1.33) or the role does not let. */
export async function readServiceCidrs(client: KubeClient, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const { items } = await client.list(SERVICE_CIDRS, { signal });
    return items.flatMap((one) => one.spec.cidrs ?? []);
  } catch (error) {
    if (isKubeError(error, "not-found", "forbidden")) return [];
    throw error;
  }
}

/** Stable: the same cluster gives the same text, so that proxies are told of changes only. */
export function meshRanges(sources: RangeSources, fixed: FixedRanges): MeshRanges {
  const nodes = [...sources.nodeCidrs.values()].flat();
  const podRanges = new Set(fixed.pods.length > 0 ? fixed.pods : nodes);
  if (fixed.pods.length === 0) {
    // Network plugins with pools of their own. One by one: a range around them would hold what is no pod.
    const known = [...podRanges].flatMap((text) => parseCidr(text) ?? []);
    for (const pod of sources.pods.values()) {
      if (pod.hostNetwork || pod.finished) continue;
      for (const ip of pod.ips) if (!known.some((range) => cidrContains(range, ip))) podRanges.add(single(ip));
    }
  }
  const serviceRanges = new Set(fixed.services);
  if (fixed.services.length === 0) {
    for (const service of sources.services.values()) for (const ip of service.clusterIps) serviceRanges.add(single(ip));
  }
  return { podRanges: [...podRanges].sort(), serviceRanges: [...serviceRanges].sort() };
}

function single(ip: Ip): string {
  return `${ip}/${isIpv6(ip) ? 128 : 32}`;
}

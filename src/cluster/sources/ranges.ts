/**
 * The addresses that belong to the mesh, so that none of them ever passes for want of an answer: node's pod CIDRs and the
 * ServiceCIDRs where the cluster tells them, else every pod and cluster IP that is known. Flags override both.
 */
import { isKubeError, type KubeClient } from "../../kube/index.ts";
import { cidrContains, type Ip, isIpv6, parseCidr } from "../../mesh/index.ts";
import { SERVICE_CIDRS } from "../resources.ts";
import type { ClusterSources } from "./sources.ts";

export interface MeshRanges {
  readonly podRanges: readonly string[];
  readonly serviceRanges: readonly string[];
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
export function meshRanges(
  sources: Pick<ClusterSources, "nodeCidrs" | "pods" | "services">,
  fixed: { readonly pods: readonly string[]; readonly services: readonly string[] },
): MeshRanges {
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

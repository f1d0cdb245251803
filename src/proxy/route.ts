/** Where a connection to an address goes, given what discovery knows: the four answers of ARCHITECTURE.md. */
import { type SpiffeId, type TrustDomain, workloadSpiffeId } from "../identity/index.ts";
import { type Ip, isIpv6, type MeshService, type Random, type Reason, serviceKey } from "../mesh/index.ts";
import type { AddressBook, KnownWorkload, Load } from "./address-book.ts";

/** What to do with one outbound connection. */
export type Route =
  | { readonly kind: "tunnel"; readonly peer: SpiffeId; readonly ip: Ip; readonly port: number; readonly load: Load }
  | { readonly kind: "plain"; readonly reason: Reason; readonly ip: Ip; readonly port: number }
  | { readonly kind: "refuse"; readonly reason: Reason; readonly detail: string };

/** The route to a known address, or undefined when the book does not hold it. */
export function routeTo(book: AddressBook, ip: Ip, port: number, random: Random): Route | undefined {
  const entry = book.at(ip);
  if (entry === undefined) return undefined;
  if (entry.kind === "workload") return toWorkload(entry.known, ip, port);
  return toService(book, entry.service, ip, port, random);
}

/** mTLS or nothing for a meshed workload; a known unmeshed one gets plaintext. Decided by its spec, never by a label. */
function toWorkload(known: KnownWorkload, ip: Ip, port: number): Route {
  const { workload, load } = known;
  if (workload.tunnel === "none") return { kind: "plain", reason: "plaintext-unmeshed", ip, port };
  // The operator's word, parsed on arrival.
  const peer = workloadSpiffeId(workload.trustDomain as TrustDomain, workload.namespace, workload.serviceAccount);
  return { kind: "tunnel", peer, ip, port, load };
}

/** A service with no usable endpoint is a failure and never passes. */
function toService(book: AddressBook, service: MeshService, vip: Ip, port: number, random: Random): Route {
  const key = serviceKey(service.namespace, service.hostname);
  const usable: KnownWorkload[] = [];
  for (const known of book.endpointsOf(service)) {
    const { workload } = known;
    if (!workload.healthy || workload.ips.length === 0) continue;
    if (workload.services[key]?.some((pair) => pair.servicePort === port) === true) usable.push(known);
  }
  // Its caller may have no other family than that of the address, so an endpoint that lacks it is for want of a better one.
  const near = usable.filter(({ workload }) => workload.ips.some((one) => isIpv6(one) === isIpv6(vip)));
  const chosen = lessLoaded(near.length > 0 ? near : usable, random);
  const target = chosen?.workload.services[key]?.find((pair) => pair.servicePort === port)?.targetPort;
  const ip = chosen?.workload.ips.find((one) => isIpv6(one) === isIpv6(vip)) ?? chosen?.workload.ips[0];
  if (chosen === undefined || target === undefined || ip === undefined) {
    const detail = service.ports.some((pair) => pair.servicePort === port)
      ? `no endpoint of ${service.hostname} takes connections`
      : `${service.hostname} has no port ${port}`;
    return { kind: "refuse", reason: "failed-no-endpoint", detail };
  }
  return toWorkload(chosen, ip, target);
}

/** The less loaded of two that are drawn ("power of two choices"). */
function lessLoaded(candidates: readonly KnownWorkload[], random: Random): KnownWorkload | undefined {
  if (candidates.length <= 1) return candidates[0];
  const first = Math.floor(random.fraction() * candidates.length);
  // A second one that is not the first.
  const second = (first + 1 + Math.floor(random.fraction() * (candidates.length - 1))) % candidates.length;
  const [a, b] = [candidates[first], candidates[second]];
  if (a === undefined || b === undefined) return a ?? b;
  return b.load.active < a.load.active ? b : a;
}

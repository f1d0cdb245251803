/** `/etc/resolv.conf` of a pod, as the kubelet writes it for `dnsPolicy: ClusterFirst`. */
import { DEFAULT_CLUSTER_DOMAIN, type Ip } from "../../mesh/index.ts";

export function resolvConf(namespace: string, servers: readonly Ip[]): string {
  const search = [
    `${namespace}.svc.${DEFAULT_CLUSTER_DOMAIN}`,
    `svc.${DEFAULT_CLUSTER_DOMAIN}`,
    DEFAULT_CLUSTER_DOMAIN,
  ];
  return `${servers.map((ip) => `nameserver ${ip}`).join("\n")}\nsearch ${search.join(" ")}\noptions ndots:5\n`;
}

/** The name servers of a resolv.conf text, without loopback ones of a stub that the node cannot reach. */
export function nameServers(text: string): readonly string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map((match) => match[1] as string)
    .filter((ip) => !ip.startsWith("127.") && ip !== "::1");
}

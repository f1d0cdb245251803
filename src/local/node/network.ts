/**
 * The node's network namespace and those of its pods: routed veths (one /32 or /128 route a pod, no bridge), a
 * link-local gateway, forwarding inside the node only. Runs in the node's namespaces.
 */
import { existsSync } from "node:fs";
import { type Ip, isIpv6 } from "../../mesh/index.ts";
import { quote, runScript } from "./tool.ts";

/** The pods' default gateway on their own link, the same for all of them. */
export const GATEWAY_V4 = "169.254.1.1";
export const GATEWAY_V6 = "fe80::1";

/** A pod's namespace and the node's end of its veth. */
export interface PodNetwork {
  readonly namespacePath: string;
  readonly veth: string;
}

/** Whether this kernel has IPv6; without it pods get IPv4 alone. */
export function hasIpv6(): boolean {
  return existsSync("/proc/sys/net/ipv6/conf/all/forwarding");
}

/** Prepares the node: loopback with the node's own addresses, forwarding. */
export async function setUpNode(addresses: readonly Ip[]): Promise<void> {
  const lines = ["ip link set lo up", "echo 1 >/proc/sys/net/ipv4/ip_forward"];
  if (hasIpv6()) {
    lines.push(
      "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
      "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad",
      "echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra",
    );
  }
  await runScript(lines);
  await addNodeAddresses(addresses);
}

/** Gives the node further addresses of its own (the cluster IPs of what it serves itself). */
export async function addNodeAddresses(addresses: readonly Ip[]): Promise<void> {
  const usable = addresses.filter((ip) => !isIpv6(ip) || hasIpv6());
  if (usable.length === 0) return;
  await runScript([
    batch(
      "ip",
      usable.map((ip) => `addr add ${host(ip)} dev lo${isIpv6(ip) ? " nodad" : ""}`),
    ),
  ]);
}

/** Makes the namespace of a pod. `name` is unique in the node and at most 11 characters. */
export async function addPodNetwork(name: string, ips: readonly Ip[], nodeIps: readonly Ip[]): Promise<PodNetwork> {
  const veth = `veth${name}`;
  const v6 = hasIpv6();
  const usable = ips.filter((ip) => !isIpv6(ip) || v6);
  const inside = [
    // What containerd sets (enable_unprivileged_ports, enable_unprivileged_icmp).
    "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
    'echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range',
  ];
  if (v6) {
    // No duplicate address detection: an address must be usable at once.
    inside.push(
      "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad",
      "echo 0 >/proc/sys/net/ipv6/conf/default/accept_ra",
      "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6",
    );
  }
  const node = [
    `link add ${veth} type veth peer name eth0 netns ${name}`,
    `addr add ${GATEWAY_V4}/32 dev ${veth} scope link`,
    ...(v6 ? [`addr add ${GATEWAY_V6}/64 dev ${veth} nodad`] : []),
    `link set ${veth} up`,
  ];
  const pod = ["link set lo up", ...usable.map((ip) => `addr add ${host(ip)} dev eth0${isIpv6(ip) ? " nodad" : ""}`)];
  pod.push("link set eth0 up", `route add ${GATEWAY_V4} dev eth0 scope link`, `route add default via ${GATEWAY_V4}`);
  if (v6) pod.push(`route add default via ${GATEWAY_V6} dev eth0`);
  const routes = usable.map((ip) => {
    const from = nodeIps.find((address) => isIpv6(address) === isIpv6(ip));
    return `route add ${host(ip)} dev ${veth}${from === undefined ? "" : ` src ${from}`}`;
  });
  await runScript([
    `ip netns add ${name}`,
    `nsenter --net=/run/netns/${name} sh -ec ${quote(inside.join("\n"))}`,
    batch("ip", node),
    batch(`ip -n ${name}`, pod),
    batch("ip", routes),
  ]);
  return { namespacePath: `/run/netns/${name}`, veth };
}

/** Removes a pod's namespace; the veth goes first, so that its addresses are unreachable at once. */
export async function removePodNetwork(name: string): Promise<void> {
  await runScript([`ip link delete veth${name} 2>/dev/null || :`, `ip netns delete ${name} 2>/dev/null || :`]);
}

function host(ip: Ip): string {
  return `${ip}/${isIpv6(ip) ? 128 : 32}`;
}

/** One process for many commands of `ip`. */
function batch(tool: string, lines: readonly string[]): string {
  return `${tool} -batch - <<'END'\n${lines.join("\n")}\nEND`;
}

/**
 * Cluster IPs on the node: Services and endpoints as iptables-restore texts of the node's own network namespace, in
 * the manner of kube-proxy's iptables mode. Whole tables each time, so one restore is one atomic change. Pure.
 */
import {
  type EndpointsRecord,
  formatAuthority,
  formatCidr,
  type Ip,
  isIpv6,
  type ServiceRecord,
} from "../../mesh/index.ts";
import type { Ranges } from "../addresses.ts";

export interface ServiceView {
  readonly service: ServiceRecord;
  readonly endpoints: EndpointsRecord | undefined;
}

export interface NodeRules {
  readonly pods: Ranges;
  readonly services: readonly ServiceView[];
  /** Interface that leads out of the machine, where there is one: pods are masqueraded behind it. */
  readonly egress: string | undefined;
}

/** The text for `iptables-restore` (4) or `ip6tables-restore` (6): tables nat and filter, complete. */
export function renderNodeRules(rules: NodeRules, family: 4 | 6): string {
  const mine = (ip: Ip) => isIpv6(ip) === (family === 6);
  const bits = family === 4 ? 32 : 128;
  const podRange = formatCidr(family === 4 ? rules.pods.v4 : rules.pods.v6);
  const chains: string[] = [":TULLE-SERVICES - [0:0]"];
  const jumps: string[] = [];
  const bodies: string[] = [];
  const rejects: string[] = [];
  const hairpins = new Set<string>();
  let number = 0;
  for (const { service, endpoints } of rules.services) {
    for (const vip of service.clusterIps.filter(mine)) {
      for (const port of service.ports) {
        const protocol = port.protocol.toLowerCase();
        const match = `-d ${vip}/${bits} -p ${protocol} --dport ${port.port}`;
        const targets = (endpoints?.endpoints ?? []).flatMap((endpoint) => {
          const target = endpoint.ports.find((one) => one.name === port.name);
          return endpoint.ready && mine(endpoint.ip) && target !== undefined
            ? [{ ip: endpoint.ip, port: target.port }]
            : [];
        });
        if (targets.length === 0) {
          rejects.push(match);
          continue;
        }
        const chain = `TULLE-SVC-${number++}`;
        chains.push(`:${chain} - [0:0]`);
        jumps.push(`-A TULLE-SERVICES ${match} -j ${chain}`);
        targets.forEach((target, index) => {
          const left = targets.length - index;
          const share = left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(8)} `;
          bodies.push(
            `-A ${chain} -p ${protocol} ${share}-j DNAT --to-destination ${formatAuthority(target.ip, target.port)}`,
          );
          hairpins.add(`-A POSTROUTING -s ${target.ip}/${bits} -d ${target.ip}/${bits} -j MASQUERADE`);
        });
      }
    }
  }
  const unreachable = (protocol: string) => (protocol.includes("-p tcp") ? " --reject-with tcp-reset" : "");
  return `${[
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ...chains,
    "-A PREROUTING -j TULLE-SERVICES",
    "-A OUTPUT -j TULLE-SERVICES",
    ...jumps,
    ...bodies,
    // A pod that reaches itself through its Service would drop an answer from its own address.
    ...hairpins,
    ...(rules.egress === undefined ? [] : [`-A POSTROUTING -s ${podRange} -o ${rules.egress} -j MASQUERADE`]),
    "COMMIT",
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ...rejects.flatMap((match) =>
      ["FORWARD", "OUTPUT"].map((chain) => `-A ${chain} ${match} -j REJECT${unreachable(match)}`),
    ),
    "COMMIT",
  ].join("\n")}\n`;
}

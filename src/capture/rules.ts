/**
 * The rule set as data: eight rules and two jumps in the nat table, the same for both families.
 *
 * There is no second pass, no 127.0.0.6, no mangle table and no mark, because mTLS arrives on a port of its own and
 * the proxy reaches its own pod by that port too. There is no rule for a group id: it would only widen the way round.
 */
import { type Cidr, PORTS, UNREDIRECTED_INBOUND_PORTS } from "../mesh/index.ts";
import { type CaptureConfig, joinRanges, type PortRange } from "./config.ts";
import type { Family } from "./family.ts";

/** What a packet must be for the rule to hold; every rule also holds for TCP only, by its chain's jump. */
export type Match =
  | { readonly kind: "tcp" }
  | { readonly kind: "destination-port"; readonly port: number }
  /** At most 15 slots; a range takes two. */
  | { readonly kind: "destination-ports"; readonly ports: readonly PortRange[] }
  | { readonly kind: "source"; readonly cidr: Cidr }
  | { readonly kind: "destination"; readonly cidr: Cidr }
  | { readonly kind: "user"; readonly uid: number }
  | { readonly kind: "to-loopback-interface" };

export type Target = { readonly kind: "return" } | { readonly kind: "redirect"; readonly port: number };

export interface Rule {
  readonly match: Match;
  readonly target: Target;
  /** Why the rule is there, in a few words. */
  readonly why: string;
}

export interface CaptureChain {
  readonly name: string;
  /** The built-in chain that jumps to this one, for TCP. */
  readonly hook: "PREROUTING" | "OUTPUT";
  readonly rules: readonly Rule[];
}

export interface RuleSet {
  readonly chains: readonly CaptureChain[];
}

export const INBOUND_CHAIN = "TULLE_INBOUND";
export const OUTBOUND_CHAIN = "TULLE_OUTPUT";

/** The multiport match holds 15 ports (linux/netfilter/xt_multiport.h, XT_MULTI_PORTS); a range takes two. */
export const MULTIPORT_SLOTS = 15;

const RETURN: Target = { kind: "return" };

/** The rules for a configuration, in the order in which the kernel must judge them. */
export function captureRules(config: CaptureConfig): RuleSet {
  const ownPorts = UNREDIRECTED_INBOUND_PORTS.filter((port) => port !== PORTS.hbone).map(single);
  const inbound: Rule[] = [
    {
      match: { kind: "destination-port", port: PORTS.hbone },
      target: RETURN,
      why: "mTLS tunnels arrive as they are: the peer's real address, no two flows on one 4-tuple",
    },
    ...skipPorts([...ownPorts, ...config.skipInboundPorts], "metrics, readiness and the ports to skip"),
    ...config.skipInboundCidrs.map((cidr) => skip({ kind: "source", cidr }, "a source to skip")),
    {
      match: { kind: "tcp" },
      target: { kind: "redirect", port: PORTS.inboundPlaintext },
      why: "all other TCP is plaintext: the proxy decides",
    },
  ];
  const outbound: Rule[] = [
    skip({ kind: "user", uid: config.proxyUid }, "the proxy's own connections, or it would capture itself"),
    skip({ kind: "to-loopback-interface" }, "inside the pod: localhost and the pod's own address"),
    ...skipPorts(config.skipOutboundPorts, "ports to skip"),
    ...config.skipOutboundCidrs.map((cidr) => skip({ kind: "destination", cidr }, "a destination to skip")),
    {
      match: { kind: "tcp" },
      target: { kind: "redirect", port: PORTS.outbound },
      why: "all other TCP goes to the proxy, which asks the kernel for the original destination",
    },
  ];
  return {
    chains: [
      { name: INBOUND_CHAIN, hook: "PREROUTING", rules: inbound },
      { name: OUTBOUND_CHAIN, hook: "OUTPUT", rules: outbound },
    ],
  };
}

/** True when the rule belongs in the family's table. */
export function inFamily(rule: Rule, family: Family): boolean {
  if (rule.match.kind !== "source" && rule.match.kind !== "destination") return true;
  return (rule.match.cidr.bytes.length === 4) === (family === "ipv4");
}

/** Cuts ranges into groups that each fit one multiport match, in order. */
export function splitSlots(ranges: readonly PortRange[]): PortRange[][] {
  const groups: PortRange[][] = [];
  let free = 0;
  for (const range of ranges) {
    const slots = range.first === range.last ? 1 : 2;
    if (slots > free) {
      groups.push([]);
      free = MULTIPORT_SLOTS;
    }
    groups.at(-1)?.push(range);
    free -= slots;
  }
  return groups;
}

function skipPorts(ranges: readonly PortRange[], why: string): Rule[] {
  return splitSlots(joinRanges(ranges)).map((ports) => skip({ kind: "destination-ports", ports }, why));
}

function skip(match: Match, why: string): Rule {
  return { match, target: RETURN, why };
}

function single(port: number): PortRange {
  return { first: port, last: port };
}

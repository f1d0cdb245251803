/** What must never be dialled: the proxy's own listeners and loopback, or connections would go round in circles. */
import { type Ip, isLoopback, PORTS } from "../mesh/index.ts";
import type { Endpoint } from "./outcome.ts";
import type { OwnedSocket } from "./socket.ts";

/** Where the proxy listens. */
export interface ProxyPorts {
  readonly outbound: number;
  readonly inboundPlaintext: number;
  readonly hbone: number;
  readonly metrics: number;
  readonly readiness: number;
}

/** What a pod's network looks like to the proxy; tests without root put pods on addresses of their own. */
export interface PodNetwork {
  readonly ips: readonly Ip[];
  readonly ports: ProxyPorts;
  /** Hosts of the outbound listener; a later one may be missing when the kernel lacks its family. */
  readonly outboundHosts: readonly string[];
  /** Hosts to try in turn for the listeners that the network reaches; the first that works is taken. */
  readonly inboundHosts: readonly string[];
  readonly isLoopback: (ip: Ip) => boolean;
  /** Where a redirected connection was going; undefined when it was not redirected. */
  readonly originalDestination: (socket: OwnedSocket) => Endpoint | undefined;
}

/** The network of a pod, as ARCHITECTURE.md's table of ports says. */
export function podNetwork(
  ips: readonly Ip[],
  originalDestination: (socket: OwnedSocket) => Endpoint | undefined,
): PodNetwork {
  return {
    ips,
    ports: PORTS,
    outboundHosts: ["127.0.0.1", "::1"],
    inboundHosts: ["::", "0.0.0.0"],
    isLoopback,
    originalDestination,
  };
}

/** The port is one of the proxy's own listeners. */
export function isOwnPort(ports: ProxyPorts, port: number): boolean {
  return (
    port === ports.outbound ||
    port === ports.inboundPlaintext ||
    port === ports.hbone ||
    port === ports.metrics ||
    port === ports.readiness
  );
}

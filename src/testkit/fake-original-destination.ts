/**
 * Pods on loopback addresses of their own and a kernel that redirects: stands for network namespaces and SO_ORIGINAL_DST,
 * so that whole proxies can be tested without root.
 */
import { type Ip, PORTS, parseIp } from "../mesh/index.ts";
import type { PodNetwork } from "../proxy/guard.ts";
import type { Endpoint } from "../proxy/outcome.ts";

/** Where connections to a listener were going before they were redirected; nowhere until told. */
export class FakeOriginalDestination {
  readonly #destinations = new Map<number, Endpoint>();

  /** From now on: `undefined` is a connection that nobody redirected. */
  set(listenerPort: number, destination: Endpoint | undefined): void {
    if (destination === undefined) this.#destinations.delete(listenerPort);
    else this.#destinations.set(listenerPort, destination);
  }

  readonly lookup = (socket: { readonly localPort: number }): Endpoint | undefined =>
    this.#destinations.get(socket.localPort);
}

let lastHost = 0;

/** An address of 127.0.0.0/8 that no other test process uses now. */
export function loopbackAddress(): Ip {
  lastHost = (lastHost % 250) + 1;
  const ip = parseIp(`127.${64 + ((process.pid >> 8) & 63)}.${process.pid & 255}.${lastHost}`);
  if (ip === undefined) throw new RangeError("not an address");
  return ip;
}

/**
 * A pod on one loopback address, with the real ports; `hbone` is another tunnel port, behind which a test listens in.
 * Loopback counts as the network here.
 */
export function loopbackPod(ip: Ip, redirects: FakeOriginalDestination, hbone: number = PORTS.hbone): PodNetwork {
  return {
    ips: [ip],
    ports: { ...PORTS, hbone },
    outboundHosts: [ip],
    inboundHosts: [ip],
    isLoopback: () => false,
    originalDestination: redirects.lookup,
  };
}

/** The two address families, and which of them a pod needs captured. */
import { networkInterfaces } from "node:os";
import { formatIp, type Ip, parseIp } from "../mesh/index.ts";
import type { Machine } from "./machine.ts";

export const FAMILIES = ["ipv4", "ipv6"] as const;
export type Family = (typeof FAMILIES)[number];

/** The family's name as people write it. */
export const FAMILY_NAME: Readonly<Record<Family, string>> = { ipv4: "IPv4", ipv6: "IPv6" };

/**
 * `required`: the pod has an address by which traffic could leave uncaptured. `optional`: it has none (yet).
 * `absent`: the kernel does not have the family.
 */
export type FamilyNeed =
  | { readonly kind: "required"; readonly ip: Ip }
  | { readonly kind: "optional" }
  | { readonly kind: "absent" };

/** What this network namespace needs. */
export function familyNeed(machine: Machine, family: Family): FamilyNeed {
  if (family === "ipv4") return needOf(ipv4Addresses());
  const table = machine.read("/proc/net/if_inet6");
  return table === undefined ? { kind: "absent" } : needOf(ipv6Addresses(table));
}

/**
 * The addresses of `/proc/net/if_inet6` by which traffic can leave the node: not loopback, not link-local. Read there
 * because it also lists tentative addresses and those of interfaces without carrier, which getifaddrs users hide.
 */
export function ipv6Addresses(table: string): Ip[] {
  const addresses: Ip[] = [];
  for (const line of table.split("\n")) {
    const [hex, , , scope] = line.trim().split(/\s+/);
    if (hex === undefined || !/^[0-9a-f]{32}$/i.test(hex)) continue;
    // linux/include/net/ipv6.h: IPV6_ADDR_LOOPBACK 0x10, IPV6_ADDR_LINKLOCAL 0x20.
    if (scope === "10" || scope === "20") continue;
    addresses.push(formatIp(Buffer.from(hex, "hex")));
  }
  return addresses;
}

function ipv4Addresses(): Ip[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((entry) => entry.family === "IPv4" && !entry.internal && !entry.address.startsWith("169.254."))
    .map((entry) => parseIp(entry.address))
    .filter((ip) => ip !== undefined);
}

function needOf(addresses: readonly Ip[]): FamilyNeed {
  const ip = addresses[0];
  return ip === undefined ? { kind: "optional" } : { kind: "required", ip };
}

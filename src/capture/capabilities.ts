/** What this process may do, read before anything is tried: iptables-restore often does not say why it failed. */
import { CaptureError } from "./errors.ts";
import type { Machine } from "./machine.ts";

/** Bits of linux/capability.h. */
const CAP_NET_ADMIN = 12n;
const CAP_NET_RAW = 13n;

export const ROOT_HINT =
  "Run it as root with the capability NET_ADMIN in the pod's own network namespace (securityContext.capabilities.add).";

/** Throws `no-net-admin` when the process lacks the capability; without a readable /proc the kernel will tell later. */
export function requireNetAdmin(machine: Machine): void {
  if (effective(machine, CAP_NET_ADMIN) !== false) return;
  throw new CaptureError(
    "no-net-admin",
    "the process lacks the capability NET_ADMIN, so it may not write iptables rules",
    {
      hint: ROOT_HINT,
    },
  );
}

/** False only when it is known that the process may not open raw sockets, as iptables-legacy does. */
export function mayOpenRawSockets(machine: Machine): boolean {
  return effective(machine, CAP_NET_RAW) !== false;
}

function effective(machine: Machine, bit: bigint): boolean | undefined {
  const hex = /^CapEff:\s*([0-9a-f]+)$/im.exec(machine.read("/proc/self/status") ?? "")?.[1];
  return hex === undefined ? undefined : ((BigInt(`0x${hex}`) >> bit) & 1n) === 1n;
}

/** Which capabilities a container holds: containerd's default set, then what its securityContext drops and adds. */
import { LocalError } from "../errors.ts";

/**
 * containerd `oci.WithDefaultUnixCaps` (the set of an ordinary Kubernetes container) without MKNOD: nothing here controls
 * devices, and one that a container made would be the machine's own.
 */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** Every capability of Linux 6.x, by number (capabilities(7)). */
export const ALL_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
];

/**
 * The capabilities of a container, `CAP_` names in the order of their numbers (CRI: `drop: [ALL]` first empties the
 * set, `add: [ALL]` fills it, then single names are added and dropped). `available` is what this process itself
 * may hand on. Throws LocalError `unknown-capability` or `capability-unavailable`.
 */
export function capabilitiesOf(
  adjust: { readonly add?: readonly string[] | undefined; readonly drop?: readonly string[] | undefined } | undefined,
  available: ReadonlySet<string>,
): readonly string[] {
  const add = (adjust?.add ?? []).map(capabilityName);
  const drop = (adjust?.drop ?? []).map(capabilityName);
  const held = new Set<string>(drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES);
  if (add.includes("ALL")) for (const name of ALL_CAPABILITIES) held.add(name);
  for (const name of add) {
    if (name === "ALL") continue;
    if (!available.has(name)) {
      throw new LocalError("capability-unavailable", `this machine does not let Tulle hand out ${name}`, {
        hint: "run `tulle play` as root outside of a restricted container, or leave the capability out",
      });
    }
    held.add(name);
  }
  for (const name of drop) if (name !== "ALL") held.delete(name);
  return ALL_CAPABILITIES.filter((name) => held.has(name) && available.has(name));
}

/** The capabilities in the mask of a `Cap…` line of /proc/PID/status (hexadecimal). */
export function capabilitiesOfMask(mask: string): ReadonlySet<string> {
  const bits = BigInt(`0x${mask.trim()}`);
  return new Set(ALL_CAPABILITIES.filter((_, bit) => (bits >> BigInt(bit)) & 1n));
}

/** `NET_ADMIN`, `CAP_NET_ADMIN`, `net_admin` → `CAP_NET_ADMIN`; `ALL` stays. */
function capabilityName(name: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!ALL_CAPABILITIES.includes(full)) {
    throw new LocalError("unknown-capability", `there is no capability ${name}`, { exitCode: 2 });
  }
  return full;
}

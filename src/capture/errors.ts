/** The errors of this room, each code once with what it means. */
import { type ExitCode, TulleError } from "../mesh/index.ts";

export const CAPTURE_ERRORS = {
  "bad-value": "a setting is not a port, a range, a CIDR or a user id",
  "no-net-admin": "the process may not change the network namespace's rules",
  "no-net-raw": "iptables-legacy opens a raw socket, which the process may not",
  "no-iptables": "no iptables program is installed for a family that needs it",
  "no-kernel-support": "the kernel lacks the nat table, a match or a target that the rules need",
  "lock-held": "another program held the xtables lock for too long",
  "iptables-failed": "iptables failed for a reason of its own",
  "ipv6-uncaptured": "the pod has an IPv6 address whose traffic would leave in plaintext",
  "not-as-written": "the kernel's rules differ from what was written",
  "port-taken": "the self-test cannot listen on the outbound port",
  "no-route": "the self-test's packet has no route",
  "self-test-failed": "a connection was not captured although the rules are in place",
  "no-libc": "the C library could not be loaded for the socket options",
} as const;

export type CaptureErrorCode = keyof typeof CAPTURE_ERRORS;

/** What goes wrong in capture: exit code 2 for a bad value, 1 for the machine. */
export class CaptureError extends TulleError {
  declare readonly code: CaptureErrorCode;

  constructor(
    code: CaptureErrorCode,
    message: string,
    options: { hint?: string; exitCode?: ExitCode; cause?: unknown } = {},
  ) {
    super(code, message, { exitCode: code === "bad-value" ? 2 : 1, ...options });
  }
}

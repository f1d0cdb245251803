/**
 * capture: the pod's iptables rules as data, from a user's settings to the kernel and back again, and the socket
 * options and calls of the C library that Bun lacks (original destination, reset, keep-alive). It never carries a byte of anyone's traffic and
 * never touches a rule that it did not write.
 */
export { type AppliedFamily, applyCapture, type CaptureOutcome } from "./apply.ts";
export { type CleanedFamily, cleanupCapture } from "./cleanup.ts";
export { type CaptureConfig, type PortRange, parseCidrs, parsePortRanges, parseUserId } from "./config.ts";
export { CAPTURE_ERRORS, CaptureError, type CaptureErrorCode } from "./errors.ts";
export { FAMILIES, FAMILY_NAME, type Family } from "./family.ts";
export type { Iptables, Variant } from "./iptables.ts";
export { openLibc } from "./libc.ts";
export { listChains } from "./list.ts";
export { linuxMachine, type Machine, type ProgramResult } from "./machine.ts";
export { renderRestore } from "./restore.ts";
export { type CaptureChain, captureRules, type Match, type Rule, type RuleSet, type Target } from "./rules.ts";
export { type Proof, proveCapture, type SelfTestTarget, selfTest } from "./self-test.ts";
export {
  type OriginalDestination,
  originalDestination,
  resetOnClose,
  setBacklog,
  setKeepAlive,
  socketDescriptor,
} from "./socket-options.ts";
export { verifyCapture } from "./verify.ts";

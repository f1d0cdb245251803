/** The node's way out: slirp4netns, a NAT in user space, so that the machine's rules and routes stay as they are. */
import { readFileSync } from "node:fs";
import { LocalError } from "../errors.ts";
import { TOOL_PATH, tryTool } from "../node/tool.ts";

/** The network between the node and slirp4netns; the name server is its third address. */
export const EGRESS_RANGE = "100.127.255.0/24";
export const EGRESS_NAME_SERVER = "100.127.255.3";
export const EGRESS_DEVICE = "tap0";

export type EgressChoice = "auto" | "none";

/** Whether the machine has a default route of either family. */
export async function machineHasDefaultRoute(): Promise<boolean> {
  const [four, six] = await Promise.all([
    tryTool(["ip", "-4", "route", "show", "default"]),
    tryTool(["ip", "-6", "route", "show", "default"]),
  ]);
  return `${four.stdout}${six.stdout}`.trim() !== "";
}

/** Whether slirp4netns is there and may run. */
export function egressTool(): boolean {
  return Bun.which("slirp4netns", { PATH: TOOL_PATH }) !== null && hasTun();
}

function hasTun(): boolean {
  try {
    return /\btun$/m.test(readFileSync("/proc/misc", "utf8"));
  } catch {
    return false;
  }
}

/**
 * Attaches the network namespace of process `nodePid`; it ends with this process. Resolves when the device is up.
 * Throws LocalError `egress`.
 */
export async function attachEgress(nodePid: number): Promise<Disposable> {
  const argv = ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", `--cidr=${EGRESS_RANGE}`];
  // -r 1: a byte on the inherited standard output says that the device is up.
  const child = Bun.spawn(["setpriv", "--pdeathsig", "KILL", ...argv, "-r", "1", String(nodePid), EGRESS_DEVICE], {
    env: { PATH: TOOL_PATH },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = new Response(child.stderr).text();
  const reader = child.stdout.getReader();
  const first = await reader.read();
  if (first.done) {
    await child.exited;
    throw new LocalError("egress", `slirp4netns failed: ${(await said).trim().split("\n").at(-1)}`);
  }
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

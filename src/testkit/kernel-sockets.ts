/** What the kernel knows of the sockets of this process and of TCP over IPv4: proc(5), /proc/self/fd, /proc/net/tcp. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Ip } from "../mesh/index.ts";

export interface KernelSocket {
  /** `ip:port`. */
  readonly local: string;
  readonly remote: string;
  /** Seconds until the keep-alive probe; undefined when there is none to come. */
  readonly keepAlive: number | undefined;
}

const ESTABLISHED = "01";
const KEEP_ALIVE_TIMER = "02";
/** The unit of the timer's column. */
const TICKS_PER_SECOND = 100;

/** Established connections of which one end is at the address and port. */
export function kernelSockets(ip: Ip, port: number): KernelSocket[] {
  const found: KernelSocket[] = [];
  for (const line of readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1)) {
    const [, local = "", remote = "", state, , timer = ""] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED) continue;
    const ends = { local: readEndpoint(local), remote: readEndpoint(remote) };
    if (ends.local !== `${ip}:${port}` && ends.remote !== `${ip}:${port}`) continue;
    const [kind, ticks = ""] = timer.split(":");
    const keepAlive = kind === KEEP_ALIVE_TIMER ? Number.parseInt(ticks, 16) / TICKS_PER_SECOND : undefined;
    found.push({ ...ends, keepAlive });
  }
  return found;
}

/** `0100007F:1F90`: the address in the machine's byte order, little-endian here, and the port. */
function readEndpoint(text: string): string {
  const bytes = Buffer.from(text.slice(0, 8), "hex").reverse();
  return `${bytes.join(".")}:${Number.parseInt(text.slice(9), 16)}`;
}

/** Sockets that this process has open, listeners included. */
export function openSockets(): number {
  let count = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")) count++;
    } catch {
      // The descriptor by which the folder was read.
    }
  }
  return count;
}

/** What processes and the machine have used, from /proc. */
import { readFileSync } from "node:fs";

/** The kernel's unit of times in /proc, USER_HZ: 100 on every machine that Linux runs on today. */
const TICKS_PER_SECOND = 100;

export interface ProcessTimes {
  /** Seconds in user mode and in the kernel, of all threads. */
  readonly own: number;
  /** The same of its children that have ended and were waited for. */
  readonly children: number;
}

/** Reads the text of /proc/PID/stat (proc_pid_stat(5)); nothing for the empty text of a process that has ended. */
export function parseStat(text: string): ProcessTimes {
  if (text === "") return { own: 0, children: 0 };
  // The name, in parentheses, may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const seconds = (first: number) => (Number(fields[first]) + Number(fields[first + 1])) / TICKS_PER_SECOND;
  return { own: seconds(11), children: seconds(13) };
}

/** Reads the first line of /proc/stat: seconds that were not idle, over all cores. */
export function parseBusy(text: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (text.split("\n")[0] ?? "")
    .split(/ +/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

/** VmRSS of the text of /proc/PID/status, in MiB; 0 for a process that has ended. */
export function parseRss(text: string): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) / 1024;
}

/** Processor seconds of a process and its living descendants. */
export function processorSeconds(pid: number): number {
  return family(pid).reduce((sum, one) => sum + parseStat(read(`/proc/${one}/stat`)).own, 0);
}

/** MiB that a process and its living descendants have in memory; pages that they share count for each. */
export function residentMegabytes(pid: number): number {
  return family(pid).reduce((sum, one) => sum + parseRss(read(`/proc/${one}/status`)), 0);
}

function family(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
  return [pid, ...children.flatMap(family)];
}

/** Empty for what is gone. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

export interface Usage {
  /** Processor seconds of the proxies. */
  readonly proxies: number;
  /** Cores that neither we nor anything we started used. */
  readonly others: number;
}

/** Measures from its making to `stop`. */
export class Meter {
  readonly #proxies: readonly number[];
  readonly #began = performance.now();
  readonly #before: Readings;

  /** Process ids of the proxies. */
  constructor(proxies: readonly number[]) {
    this.#proxies = proxies;
    this.#before = readings(proxies);
  }

  stop(): Usage {
    const after = readings(this.#proxies);
    const seconds = (performance.now() - this.#began) / 1_000;
    const others = after.busy - this.#before.busy - (after.ours - this.#before.ours);
    return { proxies: after.proxies - this.#before.proxies, others: Math.max(0, others / seconds) };
  }
}

interface Readings {
  /** Seconds that the machine's cores were not idle. */
  readonly busy: number;
  /** Of these, what this process and all its descendants used, ended ones too. */
  readonly ours: number;
  readonly proxies: number;
}

function readings(proxies: readonly number[]): Readings {
  return {
    busy: parseBusy(read("/proc/stat")),
    ours: processorSeconds(process.pid) + parseStat(read("/proc/self/stat")).children,
    proxies: proxies.reduce((sum, pid) => sum + processorSeconds(pid), 0),
  };
}

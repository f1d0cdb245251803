/** What a play could leave on the machine, and running the built binary as a user does. */
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");
export const TULLE = join(ROOT, "dist/tulle");

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function sh(argv: readonly string[], options: { stdin?: string; env?: Record<string, string> } = {}): Ran {
  const { stdin = "", env } = options;
  const ran = Bun.spawnSync([...argv], { stdin: Buffer.from(stdin), ...(env === undefined ? {} : { env }) });
  return { code: ran.exitCode, stdout: ran.stdout.toString(), stderr: ran.stderr.toString() };
}

/** Names that Tulle gives to network namespaces and links: others come and go on a machine that is in use. */
const OURS = /^(\d+: (veth[0-9a-f]{8}|tap0|tulle[01])[@:]|[0-9a-f]{8}\b|tulle-test)/;

/** Namespaces, links, rules of both families and mounts of the machine. */
export function machine(): string {
  const named = ["netns", "-o link"].map((words) => sh(["ip", ...words.split(" ")]).stdout.split("\n"));
  const commands = [["iptables-save"], ["ip6tables-save"], ["cut", "-d ", "-f5-", "/proc/self/mountinfo"]];
  const text = [
    ...named.map((lines) => lines.filter((line) => OURS.test(line)).join("\n")),
    ...commands.map((command) => sh(command).stdout),
  ].join("\n--\n");
  return text.replaceAll(/^#.*$/gm, "").replaceAll(/\[\d+:\d+\]/g, "[]");
}

/** Processes of a node, and the runtime's. */
export function processes(): string[] {
  return sh(["ps", "-eo", "pid,args"])
    .stdout.split("\n")
    .filter((line) => line.includes("dist/tulle inner") || line.includes("crun --cgroup-manager"));
}

/** Asks until there is an answer, at most 30 s. */
export async function until<T>(what: string, ask: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50)) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
  }
  throw new Error(`waited 30 s in vain for ${what}`);
}

/** What a play could leave on the machine, and running the built binary as a user does. */
import { readFileSync } from "node:fs";
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

/** Names that Tulle gives to network namespaces, links, chains and mounts: others come and go on a machine that is in use. */
const OURS = {
  namespace: /^[0-9a-f]{8}\b/,
  link: /^\d+: (veth[0-9a-f]{8}|tap0|tulle[01])[@:]/,
  rule: /TULLE[-_]/,
  mount: /tulle-(play|scenario)-|\/run\/(tulle|pods)\b/,
};

/** Namespaces, links, rules of both families and mounts that a play could have left on the machine. */
export function machine(): string {
  const lines = (argv: readonly string[], ours: RegExp) =>
    sh(argv)
      .stdout.split("\n")
      .filter((line) => ours.test(line));
  return [
    lines(["ip", "netns"], OURS.namespace),
    lines(["ip", "-o", "link"], OURS.link),
    ...["iptables-save", "ip6tables-save"].map((save) => lines([save], OURS.rule)),
    lines(["cut", "-d ", "-f4-", "/proc/self/mountinfo"], OURS.mount),
  ]
    .map((found) => found.join("\n"))
    .join("\n--\n")
    .replaceAll(/\[\d+:\d+\]/g, "[]");
}

/**
 * Processes of the node whose state directory this is: those that see it bound into their mount namespace, and what
 * descends from them (containers see nothing of it). Other plays of the machine do not count.
 */
export function processes(stateDirectory: string): string[] {
  const listed = sh(["ps", "-eo", "pid,ppid,args"]).stdout.trim().split("\n").slice(1);
  const all = listed
    .map((line) => line.trim().split(/ +/))
    .map(([pid = "", parent = "", ...args]) => ({ pid, parent, args }));
  const own = new Set(all.filter((one) => holds(one.pid, stateDirectory)).map((one) => one.pid));
  for (let before = -1; before < own.size; ) {
    before = own.size;
    for (const one of all) if (own.has(one.parent)) own.add(one.pid);
  }
  return all.filter((one) => own.has(one.pid)).map((one) => [one.pid, ...one.args].join(" "));
}

function holds(pid: string, stateDirectory: string): boolean {
  try {
    // The fourth field is the path within the file system that is mounted there.
    const bound = / (\S+) \/run\/state /.exec(readFileSync(`/proc/${pid}/mountinfo`, "utf8"))?.[1];
    return bound !== undefined && stateDirectory.endsWith(bound);
  } catch {
    return false;
  }
}

/** Asks until there is an answer, at most 30 s. */
export async function until<T>(what: string, ask: () => T | undefined | false): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; await Bun.sleep(50)) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer;
  }
  throw new Error(`waited 30 s in vain for ${what}`);
}

/**
 * A pod and the world outside it, as two namespaces with a cable between: what capture needs to be tried in, without a
 * proxy and without a cluster.
 */
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Arrival } from "./listener.ts";
import { cable, type ExecOptions, type ExecResult, NetworkNamespace } from "./netns.ts";
import { OwnFolder } from "./own-folder.ts";

export const POD_V4 = "10.77.0.9";
export const POD_V6 = "fd77::9";
export const OUTSIDE_V4 = "10.77.0.1";
export const OUTSIDE_V6 = "fd77::1";
/** Unroutable elsewhere, but the outside namespace has it: a connection that is not captured is refused at once. */
export const NOWHERE_V4 = "192.0.2.2";
export const NOWHERE_V6 = "2001:db8::1";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const LISTENER = join(import.meta.dir, "listener.ts");

export interface Pod extends Disposable {
  readonly inside: NetworkNamespace;
  readonly outside: NetworkNamespace;
}

/** `families` are those of which the pod has an address and a default route. */
export function createPod(families: readonly ("ipv4" | "ipv6")[] = ["ipv4", "ipv6"]): Pod {
  const stack = new DisposableStack();
  try {
    const inside = stack.use(NetworkNamespace.create("pod"));
    const outside = stack.use(NetworkNamespace.create("outside"));
    const v4 = families.includes("ipv4");
    const v6 = families.includes("ipv6");
    cable(
      {
        namespace: inside,
        device: "eth0",
        addresses: [...(v4 ? [`${POD_V4}/24`] : []), ...(v6 ? [`${POD_V6}/64`] : [])],
      },
      {
        namespace: outside,
        device: "veth0",
        addresses: [`${OUTSIDE_V4}/24`, `${OUTSIDE_V6}/64`, `${NOWHERE_V4}/32`, `${NOWHERE_V6}/128`],
      },
    );
    if (v4) inside.ip("route", "add", "default", "via", OUTSIDE_V4);
    if (v6) inside.ip("-6", "route", "add", "default", "via", OUTSIDE_V6);
    return { inside, outside, [Symbol.dispose]: () => stack.dispose() };
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

/** Runs `tulle init` inside. */
export function init(
  namespace: NetworkNamespace,
  flags: readonly string[] = [],
  options: ExecOptions = {},
): Promise<ExecResult> {
  return namespace.exec([process.execPath, MAIN, "init", ...flags], options);
}

/** The same, and throws with its message when it fails. */
export function initialise(
  namespace: NetworkNamespace,
  flags: readonly string[] = [],
  options: ExecOptions = {},
): Promise<string> {
  return namespace.run([process.execPath, MAIN, "init", ...flags], options);
}

/** Starts listeners inside (see listener.ts) and waits until all of them listen. */
export async function listen(namespace: NetworkNamespace, ...specs: readonly string[]): Promise<void> {
  await namespace.spawn([process.execPath, LISTENER, ...specs]).line("ready");
}

/** Connects from inside as a user and answers what the other end tells, or the word that says why there is none. */
export async function dial(
  namespace: NetworkNamespace,
  host: string,
  port: number,
  options: { readonly uid?: number; readonly transport?: "tcp" | "udp" } = {},
): Promise<Arrival | "refused" | "timeout"> {
  const script = `exec 3<>/dev/${options.transport ?? "tcp"}/${host}/${port}; echo hello >&3; head -n 1 <&3`;
  const user = options.uid === undefined ? [] : ["setpriv", "--reuid", String(options.uid), "--clear-groups"];
  const result = await namespace.exec(["timeout", "3", ...user, "bash", "-c", script]);
  if (result.stdout !== "") return JSON.parse(result.stdout) as Arrival;
  return result.status === 124 ? "timeout" : "refused";
}

/** A folder to be used as PATH that holds only these programs of the machine. */
export class ProgramFolder implements Disposable {
  readonly #folder = new OwnFolder("tulle-test-path-");
  readonly path = this.#folder.path;

  constructor(programs: readonly string[]) {
    for (const program of programs) {
      const found = Bun.which(program);
      if (found === null) throw new Error(`this test needs the program ${program}`);
      symlinkSync(found, join(this.path, program));
    }
  }

  /** PATH alone, as variables of a command that is given by its full path. */
  get variables(): Readonly<Record<string, string>> {
    return { PATH: this.path };
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/** The programs of one backend and family, such as `ip6tables-nft`, `-save` and `-restore`. */
export function iptablesPrograms(backend: "nft" | "legacy", families: readonly ("ipv4" | "ipv6")[]): string[] {
  return families
    .map((family) => `${family === "ipv4" ? "iptables" : "ip6tables"}-${backend}`)
    .flatMap((name) => [name, `${name}-save`, `${name}-restore`]);
}

/** What `iptables-save` of both families and backends shows, without comments, counters and tables without a rule. */
export async function dump(namespace: NetworkNamespace): Promise<string> {
  const parts: string[] = [];
  for (const program of [
    ...iptablesPrograms("nft", ["ipv4", "ipv6"]),
    ...iptablesPrograms("legacy", ["ipv4", "ipv6"]),
  ]) {
    if (!program.endsWith("-save")) continue;
    // A legacy program would make the kernel set its tables up.
    if (program.includes("legacy") && (await tableNames(namespace, program)) === "") continue;
    const text = await namespace.run([program]);
    for (const table of text.split("\n*").slice(1)) {
      const lines = table
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((line) => line.replace(/ \[\d+:\d+\]$/, ""));
      const own = lines.some((line) => line.startsWith("-A") || / - *$/.test(line) || / DROP$/.test(line));
      if (own) parts.push(`${program} *${lines.join("\n")}`);
    }
  }
  return parts.join("\n");
}

async function tableNames(namespace: NetworkNamespace, program: string): Promise<string> {
  const file = program.startsWith("ip6") ? "ip6_tables_names" : "ip_tables_names";
  return (await namespace.exec(["cat", `/proc/net/${file}`])).stdout.trim();
}

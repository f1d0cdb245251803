/** The iptables programs of one variant and family, on their nat table. */
import { mayOpenRawSockets, ROOT_HINT } from "./capabilities.ts";
import { CaptureError } from "./errors.ts";
import type { Family } from "./family.ts";
import type { Machine, ProgramResult } from "./machine.ts";
import { type NatTable, parseNatTable } from "./nat-table.ts";

/** `plain` is whatever the distribution calls just `iptables`. */
export const VARIANTS = ["nft", "legacy", "plain"] as const;
export type Variant = (typeof VARIANTS)[number];

/** Which interface of the kernel a program speaks. */
export type Backend = "nf_tables" | "legacy";

/** Seconds that a legacy program waits for the xtables lock; nf_tables takes none. */
const LOCK_WAIT = 30;

export class Iptables {
  readonly family: Family;
  readonly variant: Variant;
  readonly backend: Backend;
  /** The program's name, such as `ip6tables-nft`. */
  readonly name: string;
  /** As it tells, such as `1.8.9`. */
  readonly version: string;
  readonly #machine: Machine;
  readonly #path: string;
  #variables: Readonly<Record<string, string>> = {};

  private constructor(machine: Machine, family: Family, variant: Variant, path: string, versionText: string) {
    this.#machine = machine;
    this.#path = path;
    this.family = family;
    this.variant = variant;
    this.name = programName(family, variant);
    this.backend = versionText.includes("nf_tables") ? "nf_tables" : "legacy";
    this.version = /v(\d+(?:\.\d+)*)/.exec(versionText)?.[1] ?? "0";
  }

  /** The variant's programs, or undefined when they are not installed or do not even start. */
  static async find(machine: Machine, family: Family, variant: Variant): Promise<Iptables | undefined> {
    const name = programName(family, variant);
    const path = machine.which(name);
    if (path === undefined) return undefined;
    if (machine.which(`${name}-save`) === undefined || machine.which(`${name}-restore`) === undefined) return undefined;
    const version = await machine.run(path, ["--version"]);
    return version.status === 0 ? new Iptables(machine, family, variant, path, version.stdout) : undefined;
  }

  /**
   * What the nat table holds. Reading with nf_tables makes nothing; a legacy program would make the kernel set the
   * table up, so it is not run when the kernel says that this namespace has no such table.
   */
  async read(): Promise<NatTable> {
    if (this.backend === "legacy") {
      const tables = this.#machine.read(`/proc/net/${this.family === "ipv4" ? "ip" : "ip6"}_tables_names`);
      if (tables === undefined || !tables.split("\n").includes("nat")) return new Map();
    }
    const result = await this.#run(`${this.#path}-save`, ["-t", "nat"]);
    if (result.status !== 0) throw this.failure("read the nat table", result);
    return parseNatTable(result.stdout);
  }

  /** Applies one transaction: all of it, or nothing and a CaptureError that says what was `attempted`. */
  async restore(text: string, attempted: string): Promise<void> {
    const result = await this.#run(`${this.#path}-restore`, ["--noflush", ...this.#wait(true)], text);
    if (result.status !== 0) throw this.failure(attempted, result);
  }

  /** A chain as `iptables -t nat -L -n` shows it, ending with a line break. */
  async list(chain: string): Promise<string> {
    const result = await this.#run(this.#path, ["-t", "nat", ...this.#wait(false), "-L", chain, "-n"]);
    if (result.status !== 0) throw this.failure(`list the chain ${chain}`, result);
    return result.stdout;
  }

  /** A chain as `iptables -t nat -S` shows it, which names interfaces and protocols; it ends with a line break. */
  async rules(chain: string): Promise<string> {
    const result = await this.#run(this.#path, ["-t", "nat", ...this.#wait(false), "-S", chain]);
    if (result.status !== 0) throw this.failure(`read the chain ${chain}`, result);
    return result.stdout;
  }

  /** The error for a failed program: recognised by what it said, else quoted. */
  failure(attempted: string, result: ProgramResult): CaptureError {
    const said = result.stderr
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !/^(# Warning|Try `|Error occurred at line)/.test(line))
      .join("; ");
    const cause = new Error(said);
    if (/holding the xtables lock/i.test(said)) {
      return new CaptureError(
        "lock-held",
        `${this.name} could not ${attempted}: another program has held the xtables lock for ${LOCK_WAIT} s`,
        {
          hint: "End or repair what holds /run/xtables.lock (`fuser -v /run/xtables.lock` names it), then try again.",
          cause,
        },
      );
    }
    if (this.backend === "legacy" && !mayOpenRawSockets(this.#machine)) {
      return new CaptureError(
        "no-net-raw",
        `${this.name} could not ${attempted}: it needs the capability NET_RAW beside NET_ADMIN`,
        { hint: "Add NET_RAW, or use a kernel and an image with iptables-nft, which does without.", cause },
      );
    }
    if (/permission denied|operation not permitted|must be root/i.test(said)) {
      return new CaptureError("no-net-admin", `${this.name} could not ${attempted}: the kernel denied it (${said})`, {
        hint: ROOT_HINT,
        cause,
      });
    }
    return new CaptureError(
      "iptables-failed",
      `${this.name} could not ${attempted}: ${said === "" ? `exit status ${result.status}` : said}`,
      { cause },
    );
  }

  async #run(program: string, args: readonly string[], input?: string): Promise<ProgramResult> {
    const attempt = () =>
      this.#machine.run(program, args, { variables: this.#variables, ...(input === undefined ? {} : { input }) });
    const result = await attempt();
    if (result.status === 0 || this.#variables["XTABLES_LOCKFILE"] !== undefined) return result;
    if (!/can't open lock file/i.test(result.stderr)) return result;
    // A read-only root file system: nobody else can take /run/xtables.lock here either. The namespace itself can be
    // locked instead (XTABLES_LOCKFILE, iptables ≥ 1.8.6).
    this.#variables = { XTABLES_LOCKFILE: "/proc/self/ns/net" };
    return attempt();
  }

  /** `--wait` where the program has it: iptables since 1.4.20, iptables-restore since 1.6.2. */
  #wait(restore: boolean): string[] {
    if (this.backend !== "legacy" || !atLeast(this.version, restore ? [1, 6, 2] : [1, 4, 20])) return [];
    return restore ? [`--wait=${LOCK_WAIT}`] : ["--wait", String(LOCK_WAIT)];
  }
}

/** `iptables-nft`, `ip6tables-legacy`, `iptables`. */
export function programName(family: Family, variant: Variant): string {
  const base = family === "ipv4" ? "iptables" : "ip6tables";
  return variant === "plain" ? base : `${base}-${variant}`;
}

function atLeast(version: string, wanted: readonly number[]): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, want] of wanted.entries()) {
    const have = parts[index] ?? 0;
    if (have !== want) return have > want;
  }
  return true;
}

/**
 * Network namespaces for tests and benchmarks: made under unique names, and gone with `using`, whatever the test did. What a
 * killed test process left is swept by the next one.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

export interface ExecResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecOptions {
  readonly input?: string;
  /** Variables beside this process's own. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Milliseconds after which the command is killed; 60,000 unless told. */
  readonly timeout?: number;
}

/** A process that a namespace owns. */
export interface OwnedProcess {
  readonly pid: number;
  /** Waits for a line of standard output that holds the text, 10 s unless told. */
  line(text: string, limitMs?: number): Promise<string>;
  /** Everything written to standard error so far. */
  errors(): string;
  /** Its exit code, once it has ended. */
  readonly exited: Promise<number>;
  /** Ends it, by SIGKILL unless told, and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Full path: a command may be given a PATH of its own. */
const IP = Bun.which("ip") ?? "ip";
const PREFIX = "tulle-test";
const live = new Set<NetworkNamespace>();
let count = 0;

/** Throws unless this process may make network namespaces. */
export function requireRoot(): void {
  if (process.geteuid?.() !== 0) {
    throw new Error("this makes network namespaces: run it as root (sudo make …)");
  }
  if (Bun.which("ip") === null) throw new Error("this needs the program ip: install the package iproute2");
}

export class NetworkNamespace implements Disposable {
  readonly name: string;
  readonly #owned = new Set<Bun.Subprocess>();

  private constructor(name: string) {
    this.name = name;
  }

  /** A new namespace with loopback up; `label` only makes its name readable. */
  static create(label = "pod"): NetworkNamespace {
    requireRoot();
    if (count === 0) sweep();
    const namespace = new NetworkNamespace(`${PREFIX}-${process.pid}-${++count}-${label}`);
    ip("netns", "add", namespace.name);
    live.add(namespace);
    namespace.ip("link", "set", "lo", "up");
    return namespace;
  }

  /** Runs `ip -n NAME …` and answers its output. Throws when it fails. */
  ip(...args: readonly string[]): string {
    return ip("-n", this.name, ...args);
  }

  /** Runs a command inside to its end. */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const child = Bun.spawn([IP, "netns", "exec", this.name, ...command], {
      stdin: Buffer.from(options.input ?? ""),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...options.variables },
      timeout: options.timeout ?? 60_000,
      killSignal: "SIGKILL",
    });
    this.#owned.add(child);
    const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    this.#owned.delete(child);
    return { status, stdout, stderr };
  }

  /** As `exec`, but throws when the status is not 0; answers standard output. */
  async run(command: readonly string[], options: ExecOptions = {}): Promise<string> {
    const result = await this.exec(command, options);
    if (result.status === 0) return result.stdout;
    throw new Error(`${command.join(" ")} ended with ${result.status} in ${this.name}: ${result.stderr}`);
  }

  /** Starts a command inside; it is killed with the namespace at the latest. */
  spawn(command: readonly string[], options: Pick<ExecOptions, "variables"> = {}): OwnedProcess {
    const child = Bun.spawn([IP, "netns", "exec", this.name, ...command], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ...options.variables },
    });
    this.#owned.add(child);
    const output = new Lines(child.stdout);
    const errors = new Lines(child.stderr);
    return {
      pid: child.pid,
      line: (text, limitMs) => output.find(text, () => errors.text, limitMs),
      errors: () => errors.text,
      exited: child.exited,
      stop: async (signal = "SIGKILL") => {
        child.kill(signal);
        await child.exited;
        this.#owned.delete(child);
      },
    };
  }

  [Symbol.dispose](): void {
    if (!live.delete(this)) return;
    for (const child of this.#owned) child.kill("SIGKILL");
    remove(this.name);
  }
}

/** One end of a cable: its namespace, the device's name there, and addresses with prefix length. */
export interface CableEnd {
  readonly namespace: NetworkNamespace;
  readonly device: string;
  readonly addresses: readonly string[];
}

/** Lays a veth pair between two namespaces, both ends up, addresses usable at once. */
export function cable(a: CableEnd, b: CableEnd): void {
  ip(
    ...["link", "add", a.device, "netns", a.namespace.name, "type", "veth"],
    ...["peer", "name", b.device, "netns", b.namespace.name],
  );
  for (const { namespace, device, addresses } of [a, b]) {
    for (const address of addresses) {
      namespace.ip("addr", "add", address, "dev", device, ...(address.includes(":") ? ["nodad"] : []));
    }
    namespace.ip("link", "set", device, "up");
  }
}

/** Collects a stream and answers who waits for a line of it. */
class Lines {
  text = "";
  #ended = false;
  #changed = Promise.withResolvers<void>();

  constructor(stream: ReadableStream<Uint8Array>) {
    void this.#read(stream);
  }

  async find(wanted: string, errors: () => string, limitMs = 10_000): Promise<string> {
    const deadline = AbortSignal.timeout(limitMs);
    const expired = new Promise<void>((resolve) => deadline.addEventListener("abort", () => resolve(), { once: true }));
    for (;;) {
      const complete = this.text.slice(0, this.text.lastIndexOf("\n") + 1);
      const line = complete.split("\n").find((candidate) => candidate.includes(wanted));
      if (line !== undefined) return line;
      if (this.#ended || deadline.aborted) {
        throw new Error(`no line with "${wanted}" came; output: ${this.text}; errors: ${errors()}`);
      }
      await Promise.race([this.#changed.promise, expired]);
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.text += decoder.decode(chunk, { stream: true });
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    changed.resolve();
  }
}

function ip(...args: readonly string[]): string {
  const result = Bun.spawnSync([IP, ...args]);
  if (result.exitCode === 0) return result.stdout.toString();
  throw new Error(`ip ${args.join(" ")} ended with ${result.exitCode}: ${result.stderr.toString().trim()}`);
}

/** Deletes a namespace and ends what still runs in it. */
function remove(name: string): void {
  for (const pid of Bun.spawnSync([IP, "netns", "pids", name]).stdout.toString().split("\n").filter(Boolean)) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has just ended by itself.
    }
  }
  Bun.spawnSync([IP, "netns", "del", name]);
}

/** Removes namespaces of test processes that are gone. */
function sweep(): void {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    const pid = new RegExp(`^${PREFIX}-(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isTestProcess(pid)) remove(name);
  }
}

function isTestProcess(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("bun");
  } catch {
    return false;
  }
}

// A test that runs into its time limit never leaves its `using` block.
process.on("exit", () => {
  for (const namespace of live) namespace[Symbol.dispose]();
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

/**
 * A running play for scenarios: starts the built binary in the background with a state directory of its own, asks it
 * through its own command line, and takes everything away when disposed, also after a failure, or when the
 * test process ends without that.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { capture } from "./capture.ts";
import { connectionCounts } from "./connections.ts";
import { type Ran, TULLE } from "./machine.ts";
import { OwnFolder } from "./own-folder.ts";

/** What `tulle get pods -A -o json` says of one pod. */
export interface PodView {
  readonly namespace: string;
  readonly name: string;
  readonly status: string;
  readonly ips: readonly string[];
}

export class Play implements AsyncDisposable {
  readonly #folder: OwnFolder;
  readonly #env: Record<string, string>;
  readonly #ips = new Map<string, readonly string[]>();

  private constructor(folder: OwnFolder) {
    this.#folder = folder;
    this.#env = { ...process.env, TULLE_STATE_DIR: join(folder.path, "state") } as Record<string, string>;
  }

  /** Starts the objects (JSON is YAML) and returns when every pod is ready. */
  static async start(objects: readonly object[], flags: readonly string[] = []): Promise<Play> {
    if (!existsSync(TULLE)) throw new Error("dist/tulle is missing: run `make build` first");
    if (process.geteuid?.() !== 0) throw new Error("these scenarios make network namespaces: run them as root");
    const play = new Play(new OwnFolder("tulle-scenario-"));
    const manifest = join(play.#folder.path, "manifest.yaml");
    writeFileSync(manifest, objects.map((object) => JSON.stringify(object)).join("\n---\n"));
    const started = await play.tulle(["play", "--detach", "--egress", "none", ...flags, manifest]);
    if (started.code !== 0) {
      await play[Symbol.asyncDispose]();
      throw new Error(`play did not start (exit code ${started.code}):\n${started.stdout}\n${started.stderr}`);
    }
    return play;
  }

  /** Runs the binary with these arguments against this play. */
  async tulle(args: readonly string[], stdin = ""): Promise<Ran> {
    return run([TULLE, ...args], this.#env, stdin);
  }

  /** Runs a command in a container; `pod` is `namespace/name`. */
  exec(pod: string, container: string, command: readonly string[]): Promise<Ran> {
    const [namespace, name] = split(pod);
    return this.tulle(["exec", "-n", namespace, name, "-c", container, "--", ...command]);
  }

  /** Runs a command in the namespaces of the node. */
  node(command: readonly string[], stdin = ""): Promise<Ran> {
    return this.tulle(["exec", "--node", "--", ...command], stdin);
  }

  /** Starts a command in the namespaces of the node; its stdout is collected until it ends. */
  spawnOnNode(command: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return this.spawn(["exec", "--node", "--", ...command]);
  }

  /** Starts the binary with these arguments against this play. */
  spawn(args: readonly string[]): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn([TULLE, ...args], {
      env: this.#env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  async logs(pod: string, container: string): Promise<string> {
    const [namespace, name] = split(pod);
    return (await this.tulle(["logs", "-n", namespace, name, "-c", container])).stdout;
  }

  async pods(): Promise<readonly PodView[]> {
    const listed = await this.tulle(["get", "pods", "-A", "-o", "json"]);
    if (listed.code !== 0) throw new Error(listed.stderr);
    return JSON.parse(listed.stdout) as readonly PodView[];
  }

  /** The pod's address of one family. */
  async ip(pod: string, family: 4 | 6): Promise<string> {
    // They keep it for as long as they live, and asking takes a third of a second.
    if (!this.#ips.has(pod))
      for (const one of await this.pods()) this.#ips.set(`${one.namespace}/${one.name}`, one.ips);
    const ip = this.#ips.get(pod)?.find((one) => one.includes(":") === (family === 6));
    if (ip === undefined) throw new Error(`${pod} has no IPv${family} address`);
    return ip;
  }

  /** Connections that the pod's proxy has counted, by `direction reason`, read from outside as a scraper does. */
  async connections(pod: string): Promise<Map<string, number>> {
    const scraped = await this.node([
      "curl",
      "-sS",
      "--max-time",
      "5",
      `http://${await this.ip(pod, 4)}:15020/metrics`,
    ]);
    if (scraped.code !== 0) throw new Error(`no metrics of ${pod}: ${scraped.stderr}`);
    return connectionCounts(scraped.stdout);
  }

  /** How much one count grows while `act` runs (waits up to 3 s for it to grow by `atLeast`). */
  async growth(pod: string, key: string, act: () => Promise<unknown>, atLeast = 1): Promise<number> {
    const before = (await this.connections(pod)).get(key) ?? 0;
    await act();
    const deadline = Date.now() + 3000;
    for (;;) {
      const grown = ((await this.connections(pod)).get(key) ?? 0) - before;
      if (grown >= atLeast || Date.now() > deadline) return grown;
    }
  }

  /** All TCP that crosses the node while `act` runs, as the bytes of the packets (Latin-1). */
  capture(act: () => Promise<unknown>): Promise<string> {
    const way = {
      address: "127.0.0.1",
      spawn: (command: readonly string[]) => this.spawnOnNode(command),
      run: (command: readonly string[]) => this.node(command),
    };
    return capture(way, "tcp", act);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopped = await this.tulle(["stop"]);
    this.#folder[Symbol.dispose]();
    if (stopped.code !== 0) throw new Error(`play did not stop: ${stopped.stderr}`);
  }
}

/** Runs a command on the machine. */
export async function run(command: readonly string[], env?: Record<string, string>, stdin = ""): Promise<Ran> {
  const child = Bun.spawn([...command], {
    ...(env === undefined ? {} : { env }),
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

function split(pod: string): [string, string] {
  const [namespace, name] = pod.split("/");
  if (namespace === undefined || name === undefined) throw new Error(`not namespace/name: ${pod}`);
  return [namespace, name];
}

/**
 * The stage of one pair: a client's and a server's network namespace joined by a veth pair, and the application in the server's.
 * Every pair has a stage of its own, so that no rule and no connection tracking of one is in another's way.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cable, type ExecOptions, NetworkNamespace, type OwnedProcess } from "../test/support/netns.ts";
import { APP_PORT, CLIENT_IP, SERVER_IP } from "./addresses.ts";
import { appConfig } from "./app.ts";

/** Packets that carry it are not captured: it is what a proxy that marks its own packets (ztunnel) is told to use. */
export const UNCAPTURED_MARK = 0x539;
const START_LIMIT_MS = 15_000;

/**
 * The same for both ends of all pairs; without it, new connections per second would measure the kernel's tables. Those of connection
 * tracking are there once `loadConnectionTracking` has run.
 */
const SETTINGS = [
  "net.ipv4.ip_local_port_range=20000 65000",
  "net.ipv4.tcp_tw_reuse=1",
  "net.core.somaxconn=65535",
  "net.ipv4.tcp_max_syn_backlog=65535",
  "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1",
  "net.netfilter.nf_conntrack_tcp_timeout_close=1",
];

/** Makes the kernel load what REDIRECT rules need, without leaving a rule anywhere. */
export async function loadConnectionTracking(): Promise<void> {
  using passing = NetworkNamespace.create("passing");
  await passing.run(["iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT", "--to-ports", "1"]);
}

export class Stage implements Disposable {
  readonly client: NetworkNamespace;
  readonly server: NetworkNamespace;
  /** For configurations and whatever else the pair's programs read and write. */
  readonly folder: string;
  readonly #owned = new DisposableStack();

  private constructor(name: string, folder: string) {
    this.folder = join(folder, name);
    mkdirSync(this.folder, { recursive: true });
    this.client = this.namespace(`${name}-client`);
    this.server = this.namespace(`${name}-server`);
  }

  /** `name` is the pair's; the application serves the folder `files`. Throws when something does not start. */
  static async create(name: string, folder: string, files: string): Promise<Stage> {
    const stage = new Stage(name, folder);
    try {
      cable(
        { namespace: stage.client, device: "eth0", addresses: [`${CLIENT_IP}/30`] },
        { namespace: stage.server, device: "eth0", addresses: [`${SERVER_IP}/30`] },
      );
      stage.client.ip("route", "add", "default", "via", SERVER_IP);
      stage.server.ip("route", "add", "default", "via", CLIENT_IP);
      for (const end of [stage.client, stage.server]) await end.run(["sysctl", "-qw", ...SETTINGS]);
      const config = stage.write("app.conf", appConfig(stage.folder, files));
      await stage.start(stage.server, ["nginx", "-c", config], APP_PORT);
      return stage;
    } catch (error) {
      stage[Symbol.dispose]();
      throw error;
    }
  }

  /** One more namespace, which goes with the stage. */
  namespace(label: string): NetworkNamespace {
    return this.#owned.use(NetworkNamespace.create(label));
  }

  /** Writes a file into the folder of the stage; answers its path. */
  write(file: string, text: string): string {
    const path = join(this.folder, file);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** Starts a program and waits until it listens on the port. Throws with what it wrote when it does not. */
  async start(
    namespace: NetworkNamespace,
    command: readonly string[],
    port: number,
    variables: NonNullable<ExecOptions["variables"]> = {},
  ): Promise<OwnedProcess> {
    const child = namespace.spawn(command, { variables });
    let ended = false;
    void child.exited.then(() => {
      ended = true;
    });
    for (const end = performance.now() + START_LIMIT_MS; !ended && performance.now() < end; await Bun.sleep(20)) {
      if ((await namespace.run(["ss", "-ltnH", `sport = :${port}`])) !== "") return child;
    }
    const why = ended ? `ended with ${await child.exited}` : `does not listen on port ${port}`;
    throw new Error(`${command[0]} ${why}: ${child.errors().trim().slice(-2000)}`);
  }

  /** Leads what the client's namespace sends to the application to a port on its loopback, as a mesh does. */
  async capture(port: number): Promise<void> {
    await this.client.run([
      ...["iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", SERVER_IP, "--dport", String(APP_PORT)],
      ...["-m", "mark", "!", "--mark", `${UNCAPTURED_MARK}/0xfff`, "-j", "REDIRECT", "--to-ports", String(port)],
    ]);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

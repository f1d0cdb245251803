/**
 * A real etcd and kube-apiserver on loopback, without nodes, for a test that owns them. They are upstream's programs, built
 * by the project's cluster harness into `.cache/cluster/bin`; nothing is left when it is disposed.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { OwnFolder } from "../support/own-folder.ts";
import { makeCa, makeLeaf, makeTokenKey } from "./pki.ts";

const KUBE = resolve(import.meta.dir, "../../.cache/cluster/bin/kube");
export const ISSUER = "https://kubernetes.default.svc.cluster.local";

export interface ApiServerOptions {
  /** Further flags of kube-apiserver. */
  readonly flags?: readonly string[];
}

export class ApiServer implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #own: OwnFolder;
  readonly #flags: readonly string[];
  readonly #etcdPort: number;
  readonly #peerPort: number;
  #etcd: Bun.Subprocess | undefined;
  #server: Bun.Subprocess | undefined;

  private constructor(own: OwnFolder, ports: readonly number[], flags: readonly string[]) {
    this.#own = own;
    this.folder = own.path;
    [this.port = 0, this.#etcdPort = 0, this.#peerPort = 0] = ports;
    this.#flags = flags;
  }

  /** Ready for requests when it returns. */
  static async start(options: ApiServerOptions = {}): Promise<ApiServer> {
    if (!existsSync(KUBE))
      throw new Error(`${KUBE} is not built: run make cluster-build first (minutes), then make kube-check again`);
    const own = new OwnFolder("tulle-kube-");
    const folder = own.path;
    const server = new ApiServer(own, freePorts(3), options.flags ?? []);
    try {
      makeCa(folder, "ca");
      makeCa(folder, "other-ca");
      makeLeaf(folder, "apiserver", "/CN=kube-apiserver", "serverAuth", "DNS:kubernetes,DNS:localhost,IP:127.0.0.1");
      makeLeaf(folder, "admin", "/O=system:masters/CN=admin", "clientAuth");
      for (const user of ["alice", "bob"]) makeLeaf(folder, user, `/CN=${user}`, "clientAuth");
      makeTokenKey(folder);
      server.#etcd = server.#spawn("etcd", [
        "--name=e",
        `--data-dir=${join(folder, "etcd")}`,
        "--unsafe-no-fsync",
        "--log-level=warn",
        `--listen-client-urls=http://127.0.0.1:${server.#etcdPort}`,
        `--advertise-client-urls=http://127.0.0.1:${server.#etcdPort}`,
        `--listen-peer-urls=http://127.0.0.1:${server.#peerPort}`,
        `--initial-advertise-peer-urls=http://127.0.0.1:${server.#peerPort}`,
        `--initial-cluster=e=http://127.0.0.1:${server.#peerPort}`,
      ]);
      await server.up();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** A file of the PKI, as text. */
  read(name: string): string {
    return readFileSync(join(this.folder, name), "utf8");
  }

  /** Starts kube-apiserver (again) and waits until it is ready. */
  async up(): Promise<void> {
    const at = (name: string) => join(this.folder, name);
    const child = this.#spawn("kube-apiserver", [
      `--etcd-servers=http://127.0.0.1:${this.#etcdPort}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${this.port}`,
      // Only published in the Service kubernetes.default; loopback is refused. TEST-NET-1 of RFC 5737.
      "--advertise-address=192.0.2.1",
      "--service-cluster-ip-range=10.96.0.0/24",
      "--authorization-mode=RBAC",
      // No controller makes the default service account here, without which every pod would be refused.
      "--disable-admission-plugins=ServiceAccount",
      `--client-ca-file=${at("ca.crt")}`,
      `--tls-cert-file=${at("apiserver.crt")}`,
      `--tls-private-key-file=${at("apiserver.key")}`,
      `--service-account-issuer=${ISSUER}`,
      `--service-account-key-file=${at("sa.pub")}`,
      `--service-account-signing-key-file=${at("sa.key")}`,
      "--profiling=false",
      ...this.#flags,
    ]);
    this.#server = child;
    const end = performance.now() + 60_000;
    while (!(await this.#ready())) {
      if (child.exitCode !== null || performance.now() > end)
        throw new Error(`kube-apiserver does not get ready:\n${this.log()}`);
      await Bun.sleep(100);
    }
  }

  /** Stops kube-apiserver; etcd goes on. */
  async down(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await end(this.#server, signal);
    this.#server = undefined;
  }

  /** The last lines of the API server's log. */
  log(): string {
    const file = join(this.folder, "kube-apiserver.log");
    return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(-15).join("\n") : "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    await end(this.#etcd, "SIGKILL");
    this.#own[Symbol.dispose]();
  }

  #spawn(name: string, args: readonly string[]): Bun.Subprocess {
    const log = join(this.folder, `${name}.log`);
    if (!existsSync(log)) writeFileSync(log, "");
    appendFileSync(log, `--- ${name}\n`);
    return Bun.spawn([KUBE, name, ...args], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(log),
      cwd: this.folder,
      // By this its keeper knows it.
      env: { ...process.env, TULLE_TEST_FOLDER: this.folder },
    });
  }

  async #ready(): Promise<boolean> {
    try {
      const tls = { ca: this.read("ca.crt"), cert: this.read("admin.crt"), key: this.read("admin.key") };
      return (await fetch(`${this.url}/readyz`, { tls, keepalive: false })).ok;
    } catch {
      return false;
    }
  }
}

async function end(child: Bun.Subprocess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined) return;
  child.kill(signal);
  await child.exited;
}

function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () =>
    Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } }),
  );
  for (const listener of listeners) listener.stop(true);
  return listeners.map(({ port }) => port);
}

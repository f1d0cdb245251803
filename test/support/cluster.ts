/**
 * The Kubernetes cluster that tests use: the one of KUBECONFIG, or the one that `make cluster-up` has started
 * (test/cluster). Each scenario takes a namespace of its own, which goes with `await using`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecResult } from "./netns.ts";

const SCRIPTS = join(import.meta.dir, "../cluster");
const CACHE = join(import.meta.dir, "../../.cache/cluster");
const HOME = join(CACHE, process.env["TULLE_CLUSTER"] ?? "main");

/** An object of Kubernetes as in a manifest. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

/** A Pod that ends at once when it is deleted. */
export function pod(name: string, spec: object, labels: Readonly<Record<string, string>> = {}): Manifest {
  const ending = { terminationGracePeriodSeconds: 0 };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels }, spec: { ...ending, ...spec } };
}

/** A container that does nothing, to run commands in. */
export const SHELL = { name: "shell", image: "ubuntu:local", command: ["sleep", "infinity"] } as const;

export interface KubectlOptions {
  readonly input?: string;
  /** Milliseconds; 60,000 unless told. */
  readonly timeout?: number;
}

export async function command(argv: readonly string[], options: KubectlOptions = {}): Promise<ExecResult> {
  const child = Bun.spawn([...argv], {
    stdin: Buffer.from(options.input ?? ""),
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeout ?? 60_000,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status, stdout, stderr };
}

/** As `command`, but throws when the status is not 0; answers standard output. */
export async function run(argv: readonly string[], options: KubectlOptions = {}): Promise<string> {
  const result = await command(argv, options);
  if (result.status === 0) return result.stdout;
  throw new Error(`${argv.join(" ")} ended with ${result.status}: ${result.stderr}${result.stdout}`);
}

/** The first line that a process prints; what follows is still taken from it, so that it can go on printing. */
export async function firstLine(output: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const lines = Promise.withResolvers<string>();
  void (async () => {
    let text = "";
    for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.includes("\n")) lines.resolve(text.slice(0, text.indexOf("\n")));
    }
    lines.reject(new Error(`it ended without a line: ${text}`));
  })();
  return lines.promise;
}

/** Asks until `judge` answers something else than undefined, and answers that. Throws what was thrown last. */
export async function eventually<T>(judge: () => Promise<T | undefined>, limit = 30_000): Promise<T> {
  const deadline = Date.now() + limit;
  let reason: unknown;
  while (Date.now() < deadline) {
    try {
      const answer = await judge();
      if (answer !== undefined) return answer;
    } catch (error) {
      reason = error;
    }
    await Bun.sleep(100);
  }
  throw reason ?? new Error(`nothing came within ${limit} ms`);
}

/** What only the cluster of `make cluster-up` has: a way into its node, and an address by which pods reach this machine. */
export interface LocalNode {
  /** This machine, seen from the API server and from pods; they also know it as `host.internal`. */
  readonly host: { readonly ipv4: string; readonly ipv6: string };
  readonly address: { readonly ipv4: string; readonly ipv6: string };
  /** The command line that runs a command inside the node. */
  command(...argv: readonly string[]): string[];
  /** Runs a command inside the node and answers its output. */
  run(...argv: readonly string[]): Promise<string>;
  /** Kills a component, as a crash does. It is started again a second later. */
  crash(component: string): Promise<void>;
}

export class Cluster {
  readonly kubeconfig: string;
  readonly #kubectl: string;

  protected constructor(kubeconfig: string, kubectl: string) {
    this.kubeconfig = kubeconfig;
    this.#kubectl = kubectl;
  }

  /** The cluster to use. Throws, saying what to do, when there is none. */
  static async find(): Promise<Cluster> {
    const kubeconfig = (await run([join(SCRIPTS, "kubeconfig.sh")])).trim();
    const built = join(CACHE, "bin/kubectl");
    const kubectl = existsSync(built) ? built : Bun.which("kubectl");
    if (kubectl === null)
      throw new Error("KUBECONFIG is set, but there is no kubectl: install one, or make cluster-build");
    const own = kubeconfig.startsWith(`${HOME}/`);
    return own ? new LocalCluster(kubeconfig, kubectl, localNode()) : new Cluster(kubeconfig, kubectl);
  }

  kubectlCommand(...args: readonly string[]): string[] {
    return [this.#kubectl, "--kubeconfig", this.kubeconfig, ...args];
  }

  /** Runs kubectl and answers its output. Throws when it fails. */
  kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    return run(this.kubectlCommand(...args), options);
  }

  /** As `kubectl`, but answers a failure too. */
  tryKubectl(args: readonly string[], options: KubectlOptions = {}): Promise<ExecResult> {
    return command(this.kubectlCommand(...args), options);
  }

  /** A new namespace; `label` only makes its name readable. */
  async namespace(label: string, labels: Readonly<Record<string, string>> = {}): Promise<ClusterNamespace> {
    const name = `${label}-${process.pid.toString(36)}-${Math.trunc(performance.now()).toString(36)}`;
    const object: Manifest = { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
    await this.kubectl(["create", "-f", "-"], { input: JSON.stringify(object) });
    // Pods that name no service account are refused until the controller manager has made the default one.
    await this.kubectl(["-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s"]);
    return new ClusterNamespace(this, name);
  }
}

/** The cluster of `make cluster-up`. */
export class LocalCluster extends Cluster {
  readonly node: LocalNode;

  constructor(kubeconfig: string, kubectl: string, node: LocalNode) {
    super(kubeconfig, kubectl);
    this.node = node;
  }

  /** As `Cluster.find`, but throws when KUBECONFIG names another cluster. */
  static override async find(): Promise<LocalCluster> {
    const cluster = await Cluster.find();
    if (cluster instanceof LocalCluster) return cluster;
    throw new Error("these tests are for the cluster of make cluster-up: unset KUBECONFIG");
  }
}

/** A namespace of the cluster; with it go all its objects, and those that were announced as its own outside of it. */
export class ClusterNamespace implements AsyncDisposable {
  readonly name: string;
  readonly cluster: Cluster;
  readonly #outside: string[] = [];

  constructor(cluster: Cluster, name: string) {
    this.cluster = cluster;
    this.name = name;
  }

  kubectl(args: readonly string[], options: KubectlOptions = {}): Promise<string> {
    return this.cluster.kubectl(["-n", this.name, ...args], options);
  }

  tryKubectl(args: readonly string[], options: KubectlOptions = {}): Promise<ExecResult> {
    return this.cluster.tryKubectl(["-n", this.name, ...args], options);
  }

  /** Applies objects, given as in a manifest; answers kubectl's refusal instead of throwing it with `tryApply`. */
  async apply(...objects: readonly Manifest[]): Promise<void> {
    const applied = await this.tryApply(...objects);
    if (applied.status !== 0) throw new Error(applied.stderr);
  }

  tryApply(...objects: readonly Manifest[]): Promise<ExecResult> {
    return this.tryKubectl(["apply", "-f", "-"], {
      input: JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }),
    });
  }

  /** Announces objects without a namespace, like `validatingadmissionpolicy/NAME`, that go when this one goes. */
  owns(...objects: readonly string[]): void {
    this.#outside.push(...objects);
  }

  /** Waits until pods are ready, or `condition` holds of other objects. */
  async ready(objects: readonly string[], condition = "condition=Ready"): Promise<void> {
    const names = objects.map((name) => (name.includes("/") ? name : `pod/${name}`));
    const waited = await this.tryKubectl(["wait", `--for=${condition}`, ...names, "--timeout=60s"], {
      timeout: 90_000,
    });
    if (waited.status === 0) return;
    const events = await this.kubectl(["get", "events", "--sort-by=.lastTimestamp"]);
    throw new Error(`${waited.stderr}\n${events}`);
  }

  /** Runs a command in a pod's container and answers its output. */
  exec(pod: string, ...argv: readonly string[]): Promise<string> {
    return this.kubectl(["exec", pod, "--", ...argv]);
  }

  /** The name of the one pod that bears the label `app` and is not on its way out. */
  async podOf(app: string): Promise<string> {
    const listed = await this.kubectl(["get", "pods", "-l", `app=${app}`, "-o", "json"]);
    const { items } = JSON.parse(listed) as { items: { metadata: { name: string; deletionTimestamp?: string } }[] };
    const names = items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map((pod) => pod.metadata.name);
    if (names.length !== 1 || names[0] === undefined) throw new Error(`pods of ${app}: ${names.join(", ") || "none"}`);
    return names[0];
  }

  /** A value of an object, by JSONPath: `get("pod/web", ".status.podIP")`. */
  get(object: string, path: string): Promise<string> {
    return this.kubectl(["get", object, "-o", `jsonpath={${path}}`]);
  }

  /** Names of the pods that bear the label `app`. */
  async podsOf(app: string): Promise<readonly string[]> {
    const listed = await this.kubectl(["get", "pods", "-l", `app=${app}`, "-o", "jsonpath={.items[*].metadata.name}"]);
    return listed.split(" ").filter((name) => name !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const object of this.#outside) await this.cluster.kubectl(["delete", object, "--ignore-not-found"]);
    await this.cluster.kubectl(["delete", "namespace", this.name, "--wait=false"]);
  }
}

function localNode(): LocalNode {
  const settings = readFileSync(join(HOME, "state/conf/settings"), "utf8");
  const setting = (name: string): string => {
    const value = new RegExp(`^declare -- ${name}="(.*)"$`, "m").exec(settings)?.[1];
    if (value === undefined) throw new Error(`the cluster's settings have no ${name}`);
    return value;
  };
  const entering = (...argv: readonly string[]): string[] => [join(SCRIPTS, "enter.sh"), ...argv];
  const inside = (...argv: readonly string[]): Promise<string> => run(entering(...argv));
  return {
    host: { ipv4: setting("host_ip"), ipv6: setting("host_ip6") },
    address: { ipv4: setting("node_ip"), ipv6: setting("node_ip6") },
    command: entering,
    run: inside,
    crash: async (component) => {
      await inside("sh", "-c", `kill -KILL "$(cat /run/cluster/state/run/${component}.pid)"`);
    },
  };
}

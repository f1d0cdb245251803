/**
 * The mesh as installed in a cluster, for the scenarios of test/cluster-e2e: its namespaces, what its proxies count, what is on
 * the wire, and what a failure leaves to be read.
 */
import { afterAll, beforeAll, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { capture } from "./capture.ts";
import { Cluster, type ClusterNamespace, command, LocalCluster, type LocalNode } from "./cluster.ts";
import { connectionCounts } from "./connections.ts";
import { OPERATOR, SCENARIO_LABEL, SYSTEM } from "./names.ts";

const OPERATOR_PODS = "app.kubernetes.io/component=operator";
const ARTEFACTS = join(import.meta.dir, "../../artefacts");
/**
 * TCP without what the cluster's own components say to each other. On loopback the kubelet and containerd pass on what `kubectl
 * exec` sends and prints: that is no wire.
 */
const CAPTURE_FILTER = "(tcp and not net 127.0.0.0/8 and not port 6443 and not port 10250)";

export class Mesh {
  readonly cluster: Cluster;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** The mesh to test, once all its replicas are ready. Throws, saying what to do, when there is none. */
  static async find(): Promise<Mesh> {
    const mesh = new Mesh(await Cluster.find());
    const there = await mesh.cluster.tryKubectl(["-n", SYSTEM, "get", OPERATOR]);
    if (there.status !== 0) throw new Error(`no operator in ${SYSTEM}: make e2e installs it\n${there.stderr}`);
    await mesh.operatorReady();
    await namespacesGone(mesh.cluster);
    return mesh;
  }

  /** The cluster of `make cluster-up`, whose node can be entered; undefined for another one. */
  get local(): LocalCluster | undefined {
    return this.cluster instanceof LocalCluster ? this.cluster : undefined;
  }

  /** Its node, for tests that `holdsInNode`. Throws when it cannot be entered. */
  get node(): LocalNode {
    if (this.local === undefined) throw new Error("only the node of make cluster-up can be entered");
    return this.local.node;
  }

  /** A namespace whose pods are meshed; `mode` is its label. */
  async meshed(label: string, mode: "strict" | "permissive" = "strict"): Promise<ClusterNamespace> {
    return this.namespace(label, { "tulle.dev/inject": "enabled", "tulle.dev/mode": mode });
  }

  async namespace(label: string, labels: Readonly<Record<string, string>> = {}): Promise<ClusterNamespace> {
    return this.cluster.namespace(label, { ...labels, [SCENARIO_LABEL]: label });
  }

  system(args: readonly string[], timeout?: number): Promise<string> {
    return this.cluster.kubectl(["-n", SYSTEM, ...args], timeout === undefined ? {} : { timeout });
  }

  async operatorReady(): Promise<void> {
    await this.system(["rollout", "status", OPERATOR, "--timeout=110s"], 120_000);
  }

  /** The operator's pods that are not on their way out. */
  async operatorPods(): Promise<readonly string[]> {
    const listed = await this.system(["get", "pods", "-l", OPERATOR_PODS, "-o", "json"]);
    const { items } = JSON.parse(listed) as {
      items: { metadata: { name: string; deletionTimestamp?: string }; status: { phase: string } }[];
    };
    return items
      .filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status.phase === "Running")
      .map(({ metadata }) => metadata.name);
  }

  /** A metric of the operator, summed over its replicas; `labels` as they are printed. */
  async operatorMetric(name: string, labels = ""): Promise<number> {
    let sum = 0;
    for (const pod of await this.operatorPods()) {
      const text = await this.#scrape(SYSTEM, pod, 15014);
      for (const [, at = "", value] of text.matchAll(new RegExp(`^${name}(?:\\{([^}]*)\\})? (\\S+)$`, "gm")))
        if (at.includes(labels)) sum += Number(value);
    }
    return sum;
  }

  /** Scales the operator to nothing, or back; returns when it is so. */
  async operatorReplicas(count: 0 | 2): Promise<void> {
    await this.system(["scale", OPERATOR, `--replicas=${count}`]);
    if (count > 0) return this.operatorReady();
    await this.system(["wait", "--for=delete", "pods", "-l", OPERATOR_PODS, "--timeout=60s"], 90_000);
  }

  /** What its replicas have logged. */
  async operatorLogs(): Promise<string> {
    return this.system(["logs", "-l", OPERATOR_PODS, "--tail=-1", "--prefix"]);
  }

  /** How often the API server got no good answer from our webhooks, by its own count. */
  async webhookFailures(): Promise<number> {
    const metrics = await this.cluster.kubectl(["get", "--raw", "/metrics"]);
    const kinds =
      /^apiserver_admission_webhook_(?:fail_open_count|rejection_count)\{.*injector\.tulle\.dev.*\} (\d+)$/gm;
    return [...metrics.matchAll(kinds)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Connections that the pod's proxy has counted, by `direction reason`. */
  async connections(space: ClusterNamespace, pod: string): Promise<ReadonlyMap<string, number>> {
    return connectionCounts(await this.#scrape(space.name, pod, 15020));
  }

  /** How much one count grows while `act` runs (waits up to 5 s for it to grow by `atLeast`). */
  async growth(
    space: ClusterNamespace,
    pod: string,
    key: string,
    act: () => Promise<unknown>,
    atLeast = 1,
  ): Promise<number> {
    const before = (await this.connections(space, pod)).get(key) ?? 0;
    await act();
    const deadline = Date.now() + 5000;
    for (;;) {
      const grown = ((await this.connections(space, pod)).get(key) ?? 0) - before;
      if (grown >= atLeast || Date.now() > deadline) return grown;
    }
  }

  /**
   * All that crosses the node while `act` runs, as the bytes of the packets (Latin-1); undefined on a cluster whose node
   * cannot be entered.
   */
  async capture(act: () => Promise<unknown>): Promise<string | undefined> {
    if (this.local === undefined) {
      await act();
      return undefined;
    }
    const { node } = this.local;
    const way = {
      address: node.address.ipv4,
      spawn: (argv: readonly string[]) =>
        Bun.spawn(node.command(...argv), { stdin: "ignore", stdout: "pipe", stderr: "pipe" }),
      run: (argv: readonly string[]) => command(node.command(...argv)),
    };
    return capture(way, CAPTURE_FILTER, act);
  }

  async #scrape(namespace: string, pod: string, port: number): Promise<string> {
    return this.cluster.kubectl(["get", "--raw", `/api/v1/namespaces/${namespace}/pods/${pod}:${port}/proxy/metrics`]);
  }
}

/** A test that keeps logs, events and descriptions of its namespaces and of the operator under artefacts/ when it fails. */
export function holds(name: string, body: () => Promise<void>, timeout = 120_000): void {
  test(name, keeping(name, body), timeout);
}

/** `holds`, or what marks the test as skipped where the cluster cannot show it. */
export function holdsIf(able: boolean): typeof holds {
  return able ? holds : (name) => test.skip(name, () => {});
}

/** `holds` where the node can be entered: on the cluster of `make cluster-up`. */
export const holdsInNode = holdsIf((await Cluster.find()) instanceof LocalCluster);

/** As `beforeAll`, with what `holds` keeps. */
export function prepare(body: () => Promise<void>, timeout = 120_000): void {
  beforeAll(keeping("before all", body), timeout);
}

/** Disposes of what a scenario made, and waits until it is gone: its pods must not be in the next one's way. */
export function cleanUp(body: () => Promise<unknown>): void {
  afterAll(async () => {
    await body();
    await namespacesGone(await Cluster.find());
  }, 180_000);
}

/** Those of scenarios that are on their way out. */
async function namespacesGone(cluster: Cluster): Promise<void> {
  const ending = ["namespaces", "-l", SCENARIO_LABEL, "--field-selector=status.phase=Terminating"];
  await cluster.kubectl(["wait", "--for=delete", ...ending, "--timeout=110s"], { timeout: 120_000 });
}

function keeping(name: string, body: () => Promise<void>): () => Promise<void> {
  const file = new Error().stack?.match(/cluster-e2e\/([\w-]+)\.test\.ts/)?.[1] ?? "scenario";
  return async () => {
    try {
      await body();
    } catch (error) {
      const folder = join(ARTEFACTS, file, name.replaceAll(/[^\w]+/g, "-").slice(0, 80));
      const kept = await keepArtefacts(folder).catch((reason: unknown) => `not kept: ${String(reason)}`);
      process.stderr.write(`artefacts: ${kept}\n`);
      throw error;
    }
  };
}

/** Answers where they lie. */
async function keepArtefacts(folder: string): Promise<string> {
  const cluster = await Cluster.find();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const own = await cluster.kubectl(["get", "namespaces", "-l", SCENARIO_LABEL, "-o", "name"]);
  const namespaces = [SYSTEM, ...own.split("\n").flatMap((line) => line.split("/")[1] ?? [])];
  const dump = ["cluster-info", "dump", "-o", "yaml", `--namespaces=${namespaces.join(",")}`];
  await cluster.tryKubectl([...dump, `--output-directory=${folder}`]);
  const shown = [
    ["get", "nodes,pods", "-A", "-o", "wide"],
    ["get", "events", "-A", "--sort-by=.lastTimestamp"],
    [
      "get",
      "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings",
      "-o",
      "yaml",
    ],
    ...namespaces.map((namespace) => ["-n", namespace, "describe", "pods"]),
  ];
  for (const args of shown) {
    const { stdout, stderr } = await cluster.tryKubectl(args);
    const file = args.filter((arg) => !arg.startsWith("-") && arg !== "yaml" && arg !== "wide").join("-");
    await Bun.write(join(folder, `${file.replaceAll(/[^\w-]/g, "-").slice(0, 60)}.txt`), stdout + stderr);
  }
  return folder;
}

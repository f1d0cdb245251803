/**
 * The inner runner: lives in the node's own namespaces and does all the work of a play. Reads its configuration and
 * orders from standard input, writes events to standard output; ends with its supervisor.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { type Clock, formatCidr, type Random, TulleError } from "../../mesh/index.ts";
import { planAddresses } from "../addresses.ts";
import { capabilitiesOfMask } from "../container/capabilities.ts";
import { ContainerLog } from "../container/log.ts";
import { startControlServer } from "../control/server.ts";
import { resolvConf } from "../dns/resolv-conf.ts";
import { startNameServer } from "../dns/server.ts";
import { LocalMesh } from "../mesh/local-mesh.ts";
import { operatorLogger } from "../mesh/operator-log.ts";
import { hasIpv6, setUpNode } from "../node/network.ts";
import { EGRESS_DEVICE, EGRESS_NAME_SERVER } from "../supervisor/egress.ts";
import { INNER_STATE_DIRECTORY, NODE_PID_VARIABLE } from "../supervisor/spawn.ts";
import { TokenSigner } from "../tokens.ts";
import { Cluster } from "./cluster.ts";
import type { NodeConfig, OwnImage } from "./config.ts";
import { ClusterControl } from "./control.ts";
import { linesOf, type PlayEvent, type PlayOrder } from "./events.ts";
import type { PodWorker } from "./pod.ts";
import { ServiceNetwork } from "./services.ts";
import { readyColumn, statusColumn, troubles } from "./status.ts";

const PODS_DIRECTORY = "/run/pods";
const WRAPPER_FILE = "/run/tulle-entry";

export interface InnerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly input: ReadableStream<Uint8Array>;
  readonly tell: (event: PlayEvent) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Runs a node to its end. Answers the exit code. */
export async function runInner(options: InnerOptions): Promise<number> {
  const lines = linesOf(options.input);
  const first = await lines.next();
  if (first.done === true) return 1;
  const config = JSON.parse(first.value) as NodeConfig;
  const stop = Promise.withResolvers<void>();
  const egress = Promise.withResolvers<Extract<PlayOrder, { type: "egress" }>>();
  void (async () => {
    for await (const line of lines) {
      const order = JSON.parse(line) as PlayOrder;
      if (order.type === "stop") stop.resolve();
      else egress.resolve(order);
    }
    // The supervisor is gone: so is this process, and with it everything in its namespaces.
    process.exit(1);
  })();
  try {
    const open = new AsyncDisposableStack();
    try {
      await run(config, options, stop, egress.promise, open);
    } finally {
      await open.disposeAsync();
    }
    return 0;
  } catch (error) {
    const known = error instanceof TulleError;
    options.tell({
      type: "failed",
      code: known ? error.code : "defect",
      message: known
        ? error.message
        : `this is a defect of tulle: ${error instanceof Error ? error.stack : String(error)}`,
      hint: known ? error.hint : undefined,
      exitCode: known ? error.exitCode : 1,
    });
    return 1;
  }
}

async function run(
  config: NodeConfig,
  options: InnerOptions,
  stop: PromiseWithResolvers<void>,
  egressAnswer: Promise<Extract<PlayOrder, { type: "egress" }>>,
  /** What is to be closed when the node ends. */
  open: AsyncDisposableStack,
): Promise<void> {
  const { clock, tell } = options;
  const began = clock.now();
  const plan = planAddresses({ podCidr: config.podCidr, serviceCidr: config.serviceCidr }, []);
  const v6 = hasIpv6();
  const network = new ServiceNetwork({
    plan,
    v6,
    mode: config.mode,
    egress: config.egress ? EGRESS_DEVICE : undefined,
    operator: config.inject,
    failed: (error) => tell({ type: "notice", text: error.message }),
  });
  const dnsIps = network.usable(plan.dns);
  await setUpNode(network.usable([...plan.node, ...plan.dns, ...plan.operator]));
  tell({ type: "node", nodePid: Number(options.env[NODE_PID_VARIABLE] ?? 0) });
  let upstream: readonly string[] = [];
  if (config.egress) {
    const answer = await egressAnswer;
    if (answer.ok) upstream = [EGRESS_NAME_SERVER];
    else tell({ type: "notice", text: `pods cannot reach outside of this machine: ${answer.why ?? ""}` });
  }
  open.use(await startNameServer({ addresses: dnsIps, port: 53, view: network, upstream }));
  const ipv6 = v6 ? `, ${formatCidr(plan.pods.v6)}` : " (this kernel has no IPv6)";
  tell({ type: "step", text: `node made: pods in ${formatCidr(plan.pods.v4)}${ipv6}` });

  const signer = new TokenSigner({
    clock,
    podLives: (namespace, name, uid) => cluster.pod(namespace, name)?.plan.uid === uid,
  });
  const progress = new Progress(options, began);
  const operatorLog = new ContainerLog();
  const mesh = config.inject
    ? open.use(
        new LocalMesh({
          trustDomain: config.trustDomain,
          leafLifetime: config.leafLifetime,
          image: config.ownImage.name,
          version: config.version,
          plan,
          network,
          signer,
          clock,
          random: options.random,
          logger: operatorLogger("info", clock, operatorLog),
        }),
      )
    : undefined;
  if (mesh !== undefined) {
    tell({
      type: "step",
      text: `authority made: root key ${mesh.authority.rootKeyId.slice(0, 16)}…; operator listens`,
    });
  }
  const cluster: Cluster = new Cluster({
    random: options.random,
    inject: mesh === undefined ? undefined : (pod) => mesh.inject(pod),
    node: {
      clock,
      nodeIps: network.usable(plan.node),
      podsDirectory: PODS_DIRECTORY,
      hiddenDirectories: config.stateDirectory.startsWith("/run/") ? [] : [config.stateDirectory],
      ownImage: config.ownImage.name,
      ownMounts: ownMounts(config.ownImage),
      resolvConf: (namespace) => resolvConf(namespace, dnsIps),
      token: (subject, audience, lifetime) => signer.issue(subject, audience ?? "kubernetes", lifetime),
      availableCapabilities: ownCapabilities(),
    },
    takeAddresses: () => network.takePodAddresses(),
    freeAddresses: (ips) => network.freePodAddresses(ips),
    delayed: (error) => tell({ type: "notice", text: `a pod waits: ${error.message}` }),
    changed: (pod) => {
      if (pod === undefined) {
        network.setServices(
          cluster.objects.flatMap(({ object, namespace }) =>
            object.kind === "Service" ? [{ object, namespace }] : [],
          ),
        );
      } else network.refresh();
      progress.changed(cluster.pods, pod);
      control.changed();
    },
  });
  network.attach(cluster);
  mesh?.publish(cluster);
  const control: ClusterControl = new ClusterControl({
    cluster,
    network,
    clock,
    mesh:
      mesh === undefined
        ? undefined
        : { operator: mesh.operator, log: operatorLog, trustBundle: () => mesh.authority.bundle().pem() },
    version: config.version,
    mode: config.mode,
    stop: () => stop.resolve(),
  });
  network.checkServices(config.objects);
  cluster.apply(config.objects);
  open.use(startControlServer(`${INNER_STATE_DIRECTORY}/control.sock`, control));
  progress.applied(cluster.pods);
  await stop.promise;
  tell({ type: "stopping" });
  await cluster.close(undefined);
}

/** Tells of pods as they come up, and once when all of the first manifest have. */
class Progress {
  readonly #tell: (event: PlayEvent) => void;
  readonly #clock: Clock;
  readonly #began: number;
  readonly #shown = new Map<string, string>();
  #first: readonly PodWorker[] | undefined;
  #ready = false;

  constructor(options: InnerOptions, began: number) {
    this.#tell = options.tell;
    this.#clock = options.clock;
    this.#began = began;
  }

  /** The first manifest is applied: these are its pods. */
  applied(pods: readonly PodWorker[]): void {
    this.#first = pods;
    this.changed(pods, undefined);
  }

  changed(pods: readonly PodWorker[], pod: PodWorker | undefined): void {
    if (pod !== undefined) this.#show(pod);
    else {
      const there = new Set(pods.map((one) => one.key));
      for (const key of [...this.#shown.keys()]) {
        if (there.has(key)) continue;
        this.#shown.delete(key);
        const [namespace = "", name = ""] = key.split("/");
        this.#tell({ type: "pod-gone", namespace, name });
      }
    }
    if (this.#ready || this.#first === undefined || !this.#first.every(settled)) return;
    this.#ready = true;
    const seconds = (this.#clock.now() - this.#began) / 1000;
    this.#tell({ type: "ready", pods: this.#first.length, seconds });
  }

  #show(pod: PodWorker): void {
    const status = pod.status;
    const event = {
      type: "pod",
      namespace: status.namespace,
      name: status.name,
      status: statusColumn(status),
      ready: readyColumn(status),
      settled: settled(pod),
      troubles: troubles(status),
    } as const;
    const text = JSON.stringify(event);
    if (this.#shown.get(pod.key) === text) return;
    this.#shown.set(pod.key, text);
    this.#tell({ ...event, age: (this.#clock.now() - status.createdAt) / 1000 });
  }
}

function settled(pod: PodWorker): boolean {
  return pod.ready || pod.status.phase === "Succeeded";
}

/** What this process may hand on: its own bounding set. */
function ownCapabilities(): ReadonlySet<string> {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return capabilitiesOfMask(mask ?? "0");
}

function ownMounts(image: OwnImage): OwnImage["mounts"] {
  if (image.wrapper === undefined) return image.mounts;
  writeFileSync(WRAPPER_FILE, image.wrapper);
  chmodSync(WRAPPER_FILE, 0o755);
  return [{ source: WRAPPER_FILE, destination: "/usr/local/bin/tulle", readOnly: true }, ...image.mounts];
}

/** The life of one pod: network, volumes, init containers in order, application, end, as kubelet does it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isMeshed, type JsonObject } from "../../inject/index.ts";
import type { Clock, Ip, Millis } from "../../mesh/index.ts";
import { capabilitiesOf } from "../container/capabilities.ts";
import { expand } from "../container/environment.ts";
import { ContainerLog } from "../container/log.ts";
import type { Mount } from "../container/oci.ts";
import {
  execFlags,
  execInContainer,
  prepareRoot,
  removeContainer,
  rootOf,
  startContainer,
} from "../container/runtime.ts";
import { userOf } from "../container/user.ts";
import { type ConfigMapLookup, variablesOf } from "../container/variables.ts";
import { LocalError } from "../errors.ts";
import type { ContainerSpec, LifecycleHandler, PodSpec } from "../kinds.ts";
import { addPodNetwork, removePodNetwork } from "../node/network.ts";
import { quote, tryTool } from "../node/tool.ts";
import type { SignedToken, TokenSubject } from "../tokens.ts";
import { PodVolumes } from "../volumes/volumes.ts";
import { type ContainerHost, ContainerWorker, type RestartPolicy } from "./container.ts";
import type { PodFacts } from "./facts.ts";
import { hookOnce, probeOnce } from "./probe.ts";
import type { PodPhase, PodStatus, TerminatedState } from "./status.ts";

/** What pods share on their node. */
export interface PodNode {
  readonly clock: Clock;
  readonly nodeIps: readonly Ip[];
  /** Directory of the node's tmpfs under which each pod has its own. */
  readonly podsDirectory: string;
  /** Directories of the machine that containers must not see. */
  readonly hiddenDirectories: readonly string[];
  /** The mesh's own image, and how its entry point gets into a container. */
  readonly ownImage: string;
  readonly ownMounts: readonly Mount[];
  /** Content of /etc/resolv.conf of a pod of this namespace. */
  resolvConf(namespace: string): string;
  configMap(namespace: string, name: string): Readonly<Record<string, string>> | undefined;
  token(subject: TokenSubject, audience: string | undefined, lifetime: number): SignedToken;
  readonly availableCapabilities: ReadonlySet<string>;
  /** A pod's status changed. */
  changed(pod: PodWorker): void;
}

/** A pod that is to run: its specification is final (injected). */
export interface PodPlan {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: PodSpec;
  readonly ips: readonly Ip[];
  /** Name of its Deployment and hash of the template it was made from. */
  readonly owner: { readonly name: string; readonly hash: string } | undefined;
}

const DEFAULT_GRACE_SECONDS = 30;

export class PodWorker implements ContainerHost {
  readonly plan: PodPlan;
  readonly facts: PodFacts;
  readonly createdAt: Millis;
  readonly #node: PodNode;
  readonly #directory: string;
  readonly #networkName: string;
  readonly #volumes: PodVolumes;
  readonly #init: readonly ContainerWorker[];
  readonly #apps: readonly ContainerWorker[];
  readonly #stopped = Promise.withResolvers<void>();
  #phase: PodPhase = "Pending";
  #reason: string | undefined;
  #message: string | undefined;
  #terminating = false;
  #setUp = false;
  #announced = false;
  #run: Promise<void> | undefined;
  #removal: Promise<void> | undefined;

  constructor(plan: PodPlan, node: PodNode) {
    this.plan = plan;
    this.#node = node;
    this.createdAt = node.clock.now();
    this.#directory = join(node.podsDirectory, plan.uid);
    this.#networkName = plan.uid.replaceAll("-", "").slice(0, 8);
    this.facts = {
      namespace: plan.namespace,
      name: plan.name,
      uid: plan.uid,
      labels: plan.labels,
      annotations: plan.annotations,
      serviceAccount: plan.spec.serviceAccountName ?? "default",
      ips: plan.ips,
      nodeIps: node.nodeIps,
    };
    const subject = {
      namespace: plan.namespace,
      serviceAccount: this.facts.serviceAccount,
      podName: plan.name,
      podUid: plan.uid,
    };
    this.#volumes = new PodVolumes(
      join(this.#directory, "volumes"),
      plan.spec,
      {
        facts: this.facts,
        configMap: this.#configMap,
        token: (audience, lifetime) => node.token(subject, audience, lifetime * 1000),
      },
      node.clock,
    );
    const hasInit = (plan.spec.initContainers ?? []).length > 0;
    const worker = (spec: ContainerSpec, role: "init" | "sidecar" | "app") =>
      new ContainerWorker({
        spec,
        role,
        host: this,
        clock: node.clock,
        grace: this.#grace,
        waitingReason: hasInit ? "PodInitializing" : "ContainerCreating",
        changed: () => this.#changed(),
      });
    this.#init = (plan.spec.initContainers ?? []).map((spec) =>
      worker(spec, spec.restartPolicy === "Always" ? "sidecar" : "init"),
    );
    this.#apps = plan.spec.containers.map((spec) => worker(spec, "app"));
  }

  get key(): string {
    return `${this.plan.namespace}/${this.plan.name}`;
  }

  get meshed(): boolean {
    return isMeshed(this.plan.spec as unknown as JsonObject);
  }

  get finished(): boolean {
    return this.#phase === "Succeeded" || this.#phase === "Failed";
  }

  get terminating(): boolean {
    return this.#terminating;
  }

  get ready(): boolean {
    const counted = [...this.#init.filter((worker) => worker.role === "sidecar"), ...this.#apps];
    return this.#phase === "Running" && !this.#terminating && counted.every((worker) => worker.status.ready);
  }

  get status(): PodStatus {
    return {
      namespace: this.plan.namespace,
      name: this.plan.name,
      uid: this.plan.uid,
      labels: this.plan.labels,
      serviceAccount: this.facts.serviceAccount,
      phase: this.#phase,
      reason: this.#reason,
      message: this.#message,
      ips: this.plan.ips,
      veth: `veth${this.#networkName}`,
      owner: this.plan.owner?.name,
      meshed: this.meshed,
      ready: this.ready,
      terminating: this.#terminating,
      createdAt: this.createdAt,
      containers: this.#workers.map((worker) => worker.status),
    };
  }

  /** The container that `logs` and `exec` mean when none is named. */
  get defaultContainer(): string {
    const named = this.plan.annotations["kubectl.kubernetes.io/default-container"];
    if (named !== undefined && this.#worker(named) !== undefined) return named;
    return this.#apps[0]?.spec.name ?? "";
  }

  get containerNames(): readonly string[] {
    return this.#workers.map((worker) => worker.spec.name);
  }

  /** The id that the runtime knows a container by. */
  containerId(container: string): string {
    return `${this.#networkName}-${container}`;
  }

  log(container: string, previous: boolean): ContainerLog | undefined {
    return this.#worker(container)?.log(previous);
  }

  configMapChanged(name: string): void {
    this.#volumes.configMapChanged(name);
  }

  /** Starts it; resolves when it has finished or was stopped. Never rejects. */
  run(): Promise<void> {
    this.#run ??= this.#live().catch((error: unknown) => this.#fail(error));
    return this.#run;
  }

  /**
   * Stops and removes it: preStop, SIGTERM, `grace` milliseconds (the pod's own when undefined), SIGKILL; the
   * application first, then the sidecars in reverse order. A second call with less grace shortens the first.
   */
  remove(options: { readonly grace?: Millis | undefined; readonly impatient?: boolean } = {}): Promise<void> {
    const grace = options.grace ?? this.#grace;
    if (this.#removal !== undefined && grace > 0 && options.impatient !== true) return this.#removal;
    this.#terminating = true;
    this.#stopped.resolve();
    this.#changed();
    const stopping = this.#stopContainers(this.#node.clock.now() + grace, options.impatient === true);
    this.#removal ??= (async () => {
      await stopping;
      await this.#run;
      await this.#tearDown();
    })();
    return this.#removal;
  }

  async start(container: ContainerSpec): ReturnType<ContainerHost["start"]> {
    const { plan } = this;
    const directory = this.#containerDirectory(container);
    const hostname = (plan.spec.hostname ?? plan.name).slice(0, 63);
    const values = variablesOf(container, this.facts, hostname, this.#configMap);
    const user = userOf(container, plan.spec, passwd());
    const security = container.securityContext;
    const args = this.#argv(container, values);
    await prepareRoot(directory, {
      files: {
        "/etc/hostname": `${hostname}\n`,
        "/etc/hosts": hostsFile(hostname, plan),
        "/etc/resolv.conf": this.#node.resolvConf(plan.namespace),
      },
      emptied: ["/run", ...this.#node.hiddenDirectories],
    });
    const mounts = (container.volumeMounts ?? []).map((mount) => ({
      source: this.#volumes.pathOf(mount.name),
      destination: mount.mountPath,
      readOnly: mount.readOnly === true || this.#generated(mount.name),
    }));
    mounts.sort((a, b) => a.destination.length - b.destination.length);
    const log = new ContainerLog();
    const running = await startContainer(
      this.containerId(container.name),
      directory,
      {
        args,
        env: [...values].map(([name, value]) => `${name}=${value}`),
        cwd: container.workingDir ?? "/",
        ...user,
        capabilities: capabilitiesOf(security?.capabilities, this.#node.availableCapabilities),
        noNewPrivileges: security?.allowPrivilegeEscalation === false,
        readOnlyRoot: security?.readOnlyRootFilesystem === true,
        hostname,
        networkNamespace: `/run/netns/${this.#networkName}`,
        root: rootOf(directory),
        mounts: [...(container.image === this.#node.ownImage ? this.#node.ownMounts : []), ...mounts],
      },
      log,
    );
    return { running, log };
  }

  hook(container: ContainerSpec, hook: LifecycleHandler, timeout: Millis) {
    const ip = this.plan.ips[0];
    return hookOnce(hook, container, ip, (command, limit) => this.#exec(container, command, limit), timeout);
  }

  probe(container: ContainerSpec, probe: Parameters<typeof probeOnce>[0]) {
    return probeOnce(probe, container, this.plan.ips[0], (command, timeout) => this.#exec(container, command, timeout));
  }

  /** For a command that joins a container of this pod. */
  execFlagsOf(name: string): readonly string[] {
    const worker = this.#worker(name);
    return worker === undefined ? [] : this.#execFlags(worker.spec);
  }

  #execFlags(container: ContainerSpec): readonly string[] {
    const noNewPrivileges = container.securityContext?.allowPrivilegeEscalation === false;
    return execFlags(userOf(container, this.plan.spec, passwd()), noNewPrivileges);
  }

  #exec(container: ContainerSpec, command: readonly string[], timeout: Millis) {
    const id = this.containerId(container.name);
    return execInContainer(id, this.#containerDirectory(container), this.#execFlags(container), command, timeout);
  }

  get #grace(): Millis {
    return (this.plan.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000;
  }

  get #workers(): readonly ContainerWorker[] {
    return [...this.#init, ...this.#apps];
  }

  readonly #configMap: ConfigMapLookup = (name) => this.#node.configMap(this.plan.namespace, name);

  async #live(): Promise<void> {
    const policy: RestartPolicy = this.plan.spec.restartPolicy ?? "Always";
    if (this.#terminating) return;
    this.#setUp = true;
    await Promise.all([addPodNetwork(this.#networkName, this.plan.ips, this.#node.nodeIps), this.#volumes.create()]);
    const stopped = this.#stopped.promise;
    for (const worker of this.#init) {
      if (this.#terminating) return;
      if (worker.role === "sidecar") {
        void worker.run("Always");
        await Promise.race([worker.startedOnce, stopped]);
      } else {
        const end = await worker.run(policy === "Never" ? "Never" : "OnFailure");
        if (this.#terminating) return;
        if (end?.exitCode !== 0) return this.#finish("Failed");
      }
    }
    if (this.#terminating) return;
    this.#phase = "Running";
    const ends = await Promise.all(this.#apps.map((worker) => worker.run(policy)));
    if (this.#terminating) return;
    await this.#finish(ends.every((end: TerminatedState | undefined) => end?.exitCode === 0) ? "Succeeded" : "Failed");
  }

  /** The application ended for good: the sidecars follow in reverse order, then the outcome is told. */
  async #finish(phase: "Succeeded" | "Failed"): Promise<void> {
    await this.#stopContainers(this.#node.clock.now() + this.#grace, false);
    this.#phase = phase;
    this.#changed();
  }

  async #stopContainers(deadline: Millis, impatient: boolean): Promise<void> {
    const order = { deadline, impatient };
    const ended: Promise<void>[] = this.#apps.map((worker) => worker.stop(order));
    for (const worker of [...this.#init].reverse()) {
      ended.push(worker.stop(worker.role === "init" ? order : { ...order, turn: Promise.all([...ended]) }));
    }
    await Promise.all(ended);
  }

  async #tearDown(): Promise<void> {
    this.#volumes[Symbol.dispose]();
    if (!this.#setUp) return;
    await Promise.all(this.#workers.map((worker) => removeContainer(this.#containerDirectory(worker.spec))));
    await removePodNetwork(this.#networkName);
    await tryTool(["sh"], `rm -rf ${quote(this.#directory)}\n`);
  }

  #fail(error: unknown): void {
    this.#phase = "Failed";
    this.#reason =
      error instanceof LocalError && error.code === "config-map-missing"
        ? "CreateContainerConfigError"
        : "CreatePodSandboxError";
    this.#message = error instanceof Error ? error.message : String(error);
    this.#changed();
  }

  /** Tells of changes once a turn of the event loop: several containers change together. */
  #changed(): void {
    if (this.#announced) return;
    this.#announced = true;
    queueMicrotask(() => {
      this.#announced = false;
      this.#node.changed(this);
    });
  }

  /** `command` replaces the image's entry point, `args` its arguments; an ordinary image has no entry point here. */
  #argv(container: ContainerSpec, values: ReadonlyMap<string, string>): readonly string[] {
    const own = container.image === this.#node.ownImage;
    const entry = container.command ?? (own ? ["tulle"] : []);
    const argv = [...entry, ...(container.args ?? [])].map((word) => expand(word, values));
    if (argv.length > 0) return argv;
    throw new LocalError(
      "no-command",
      `container ${container.name} says no command, and image ${container.image} has none here`,
      {
        hint: "an image stands for this machine's root file system: set `command`",
      },
    );
  }

  /** Volumes whose content the runner writes are read-only, as kubelet mounts them. */
  #generated(name: string): boolean {
    return this.plan.spec.volumes?.find((volume) => volume.name === name)?.emptyDir === undefined;
  }

  #containerDirectory(container: ContainerSpec): string {
    return join(this.#directory, "containers", container.name);
  }

  #worker(name: string): ContainerWorker | undefined {
    return this.#workers.find((worker) => worker.spec.name === name);
  }
}

function passwd(): string {
  try {
    return readFileSync("/etc/passwd", "utf8");
  } catch {
    return "";
  }
}

/** /etc/hosts as kubelet writes it. */
function hostsFile(hostname: string, plan: PodPlan): string {
  const domain =
    plan.spec.subdomain === undefined ? "" : `${hostname}.${plan.spec.subdomain}.${plan.namespace}.svc.cluster.local\t`;
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...plan.ips.map((ip) => `${ip}\t${domain}${hostname}`),
    "",
  ].join("\n");
}

/**
 * The Services of a play: their cluster IPs, endpoints as pods come and go, the node's rules, and what the name server and
 * the operator see of it. One owner of all that follows from objects and pods.
 */
import {
  cidrContains,
  type Endpoint,
  type EndpointsRecord,
  formatCidr,
  type Ip,
  isIpv6,
  MemoryStore,
  MODE_LABEL,
  type Mode,
  modeOf,
  OPERATOR_SERVICE_ACCOUNT,
  objectKey,
  PORTS,
  type PodRecord,
  parseIp,
  type ServiceRecord,
  SYSTEM_NAMESPACE,
} from "../../mesh/index.ts";
import { type AddressPlan, AddressPool, podCapacity, RESERVED } from "../addresses.ts";
import type { NameView } from "../dns/answer.ts";
import { LocalError } from "../errors.ts";
import type { IpFamily, KubernetesObject, ServiceObject } from "../kinds.ts";
import { tryTool } from "../node/tool.ts";
import { endpointsOf, isHeadless, serviceRecord } from "../services/endpoints.ts";
import { familiesOf, familyOf, wantedIps } from "../services/families.ts";
import { renderNodeRules } from "../services/rules.ts";
import type { Cluster } from "./cluster.ts";
import { NODE_NAME } from "./facts.ts";
import type { PodWorker } from "./pod.ts";

export class ServiceNetwork implements NameView {
  readonly pods = new MemoryStore<PodRecord>();
  readonly services = new MemoryStore<ServiceRecord>();
  readonly endpointsStore = new MemoryStore<EndpointsRecord>();
  readonly #plan: AddressPlan;
  readonly #v6: boolean;
  readonly #mode: Mode;
  readonly #egress: string | undefined;
  readonly #podPools: readonly AddressPool[];
  readonly #servicePools: readonly AddressPool[];
  readonly #operator: ServiceRecord | undefined;
  readonly #failed: (error: LocalError) => void;
  #cluster: Cluster | undefined;
  #applied = new Map<4 | 6, string>();
  #work: Promise<void> = Promise.resolve();
  #queued = false;

  constructor(options: {
    readonly plan: AddressPlan;
    readonly v6: boolean;
    readonly mode: Mode;
    readonly egress: string | undefined;
    /** Whether the operator runs: it has a Service of its own. */
    readonly operator: boolean;
    /** Hears of rules that could not be applied. */
    readonly failed: (error: LocalError) => void;
  }) {
    this.#plan = options.plan;
    this.#v6 = options.v6;
    this.#mode = options.mode;
    this.#egress = options.egress;
    this.#failed = options.failed;
    const pools = (ranges: AddressPlan["pods"]) =>
      (options.v6 ? [ranges.v4, ranges.v6] : [ranges.v4]).map((range) => new AddressPool(range, RESERVED));
    this.#podPools = pools(options.plan.pods);
    this.#servicePools = pools(options.plan.services);
    this.#operator = options.operator
      ? {
          namespace: SYSTEM_NAMESPACE,
          name: OPERATOR_SERVICE_ACCOUNT,
          hostname: `${OPERATOR_SERVICE_ACCOUNT}.${SYSTEM_NAMESPACE}.svc.cluster.local`,
          clusterIps: this.usable(options.plan.operator),
          ports: [{ name: "grpc", port: PORTS.operatorGrpc, protocol: "TCP" }],
        }
      : undefined;
    if (this.#operator !== undefined) {
      this.services.set(objectKey(SYSTEM_NAMESPACE, OPERATOR_SERVICE_ACCOUNT), this.#operator);
    }
  }

  /** The objects that everything follows from. */
  attach(cluster: Cluster): void {
    this.#cluster = cluster;
  }

  /** In the order of the pools. */
  get #families(): readonly IpFamily[] {
    return this.#v6 ? ["IPv4", "IPv6"] : ["IPv4"];
  }

  /** Those of the addresses that this kernel can have. */
  usable(ips: readonly Ip[]): readonly Ip[] {
    return ips.filter((ip) => this.#v6 || !isIpv6(ip));
  }

  /** Pods that have an address of each family. */
  get podCapacity(): number {
    return podCapacity(this.#plan);
  }

  /** Throws LocalError `addresses` and keeps none when a family has no address left. */
  takePodAddresses(): readonly Ip[] {
    const taken: Ip[] = [];
    try {
      for (const pool of this.#podPools) taken.push(pool.allocate());
    } catch (error) {
      this.freePodAddresses(taken);
      throw error;
    }
    return taken;
  }

  freePodAddresses(ips: readonly Ip[]): void {
    for (const ip of ips) for (const pool of this.#podPools) pool.release(ip);
  }

  /** Throws LocalError `cluster-ip` for a Service of `batch` whose own address cannot be had; changes nothing. */
  checkServices(batch: readonly { readonly namespace: string; readonly object: KubernetesObject }[]): void {
    const claimed = new Map<string, string>();
    for (const { namespace, object } of batch) {
      if (object.kind !== "Service") continue;
      const key = objectKey(namespace, object.metadata.name);
      const lacking = familiesOf(object, this.#families).find((family) => !this.#families.includes(family));
      if (lacking !== undefined) {
        throw new LocalError("ip-family", `Service ${key}: it wants ${lacking}, and this kernel has none`, {
          exitCode: 2,
          hint: "say ipFamilyPolicy: PreferDualStack, or leave spec.ipFamilies out",
        });
      }
      for (const wanted of wantedIps(object.spec)) {
        const ip = parseIp(wanted);
        const { v4, v6 } = this.#plan.services;
        const holder = ip === undefined ? undefined : this.serviceOf(ip);
        const holderKey = holder === undefined ? claimed.get(wanted) : objectKey(holder.namespace, holder.name);
        const own = this.services.get(key)?.clusterIps.find((one) => ip !== undefined && isIpv6(one) === isIpv6(ip));
        if (ip === undefined || !(cidrContains(v4, ip) || cidrContains(v6, ip))) {
          const range = formatCidr(ip !== undefined && isIpv6(ip) ? v6 : v4);
          throw clusterIpError(key, wanted, `is not in the service range ${range}`);
        }
        if (holderKey !== undefined && holderKey !== key) throw clusterIpError(key, wanted, `belongs to ${holderKey}`);
        if (own !== undefined && own !== ip) {
          throw clusterIpError(key, wanted, `cannot replace ${own}: delete the Service first`);
        }
        claimed.set(wanted, key);
      }
    }
  }

  /** Services of the manifest changed: cluster IPs are given and taken. Throws LocalError `cluster-ip`. */
  setServices(objects: readonly { readonly namespace: string; readonly object: ServiceObject }[]): void {
    const wanted = new Map(objects.map((one) => [objectKey(one.namespace, one.object.metadata.name), one]));
    for (const key of [...this.services.keys()]) {
      const record = this.services.get(key);
      if (record === undefined || record === this.#operator || wanted.has(key)) continue;
      for (const ip of record.clusterIps) for (const pool of this.#servicePools) pool.release(ip);
      this.services.delete(key);
      this.endpointsStore.delete(key);
    }
    for (const [key, { namespace, object }] of wanted) {
      const before = this.services.get(key);
      const had = before?.clusterIps ?? [];
      const ips = isHeadless(object) ? [] : this.#clusterIps(key, object, had);
      for (const ip of had.filter((one) => !ips.includes(one))) {
        for (const pool of this.#servicePools) pool.release(ip);
      }
      const record = serviceRecord(namespace, object, ips);
      if (JSON.stringify(before) !== JSON.stringify(record)) this.services.set(key, record);
    }
    this.refresh();
  }

  /** Computes endpoints and rules anew, once for all changes of a turn of the event loop. */
  refresh(): void {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.#recompute();
    });
  }

  /** Resolves when the rules of all changes so far are in place. */
  settled(): Promise<void> {
    return new Promise((resolve) => queueMicrotask(() => void this.#work.then(resolve)));
  }

  service(namespace: string, name: string): ServiceRecord | undefined {
    return this.services.get(objectKey(namespace, name));
  }

  endpoints(namespace: string, service: string): EndpointsRecord | undefined {
    return this.endpointsStore.get(objectKey(namespace, service));
  }

  podHost(uid: string): { readonly hostname: string; readonly subdomain: string | undefined } | undefined {
    const pod = this.#cluster?.pods.find((one) => one.plan.uid === uid);
    return pod === undefined
      ? undefined
      : { hostname: pod.plan.spec.hostname ?? pod.plan.name, subdomain: pod.plan.spec.subdomain };
  }

  namespaceExists(name: string): boolean {
    return this.#cluster?.namespaces.has(name) === true;
  }

  serviceOf(ip: Ip): ServiceRecord | undefined {
    for (const service of this.services.values()) if (service.clusterIps.includes(ip)) return service;
    return undefined;
  }

  inClusterRange(ip: Ip): boolean {
    const { pods, services } = this.#plan;
    return [pods.v4, pods.v6, services.v4, services.v6].some((range) => cidrContains(range, ip));
  }

  /** One of each of the Service's families: the one it had, the one it asks for, or a free one. */
  #clusterIps(key: string, service: ServiceObject, had: readonly Ip[]): readonly Ip[] {
    const wanted = wantedIps(service.spec).flatMap((text) => parseIp(text) ?? []);
    return familiesOf(service, this.#families).flatMap((family) => {
      const before = had.find((ip) => familyOf(ip) === family);
      if (before !== undefined) return [before];
      const pool = this.#servicePools[this.#families.indexOf(family)];
      if (pool === undefined) return [];
      const asked = wanted.find((ip) => familyOf(ip) === family);
      if (asked === undefined) return [pool.allocate()];
      if (!pool.take(asked)) throw clusterIpError(key, asked, "cannot be had");
      return [asked];
    });
  }

  #recompute(): void {
    const cluster = this.#cluster;
    if (cluster === undefined) return;
    const pods = cluster.pods;
    const present = new Set<string>();
    for (const pod of pods) {
      present.add(pod.key);
      const record = this.#podRecord(pod, cluster.namespaces.get(pod.plan.namespace));
      if (JSON.stringify(this.pods.get(pod.key)) !== JSON.stringify(record)) this.pods.set(pod.key, record);
    }
    for (const key of [...this.pods.keys()]) if (!present.has(key)) this.pods.delete(key);
    const facts = pods.map((pod) => ({
      uid: pod.plan.uid,
      namespace: pod.plan.namespace,
      name: pod.plan.name,
      labels: pod.plan.labels,
      ips: pod.plan.ips,
      ready: pod.ready,
      terminating: pod.terminating,
      finished: pod.finished,
      spec: pod.plan.spec,
    }));
    for (const { object, namespace } of cluster.objects) {
      if (object.kind !== "Service") continue;
      const record = endpointsOf(namespace, object, familiesOf(object, this.#families), facts);
      const key = objectKey(namespace, object.metadata.name);
      if (!sameEndpoints(this.endpointsStore.get(key), record)) this.endpointsStore.set(key, record);
    }
    this.#work = this.#work.then(() => this.#applyRules());
  }

  async #applyRules(): Promise<void> {
    // The operator's cluster IP is an address of the node itself: no rule.
    const services = [...this.services.values()]
      .filter((service) => service !== this.#operator)
      .map((service) => ({ service, endpoints: this.endpoints(service.namespace, service.name) }));
    const families: readonly (4 | 6)[] = this.#v6 ? [4, 6] : [4];
    await Promise.all(
      families.map(async (family) => {
        const text = renderNodeRules({ pods: this.#plan.pods, services, egress: this.#egress }, family);
        if (this.#applied.get(family) === text) return;
        const tool = family === 4 ? "iptables-restore" : "ip6tables-restore";
        const result = await tryTool([tool, "-w"], text);
        if (result.code === 0) this.#applied.set(family, text);
        else this.#failed(new LocalError("rules", `${tool} refused the node's rules: ${result.stderr.trim()}`));
      }),
    );
  }

  #podRecord(pod: PodWorker, namespaceLabels: Readonly<Record<string, string>> | undefined): PodRecord {
    return {
      uid: pod.plan.uid,
      namespace: pod.plan.namespace,
      name: pod.plan.name,
      serviceAccount: pod.facts.serviceAccount,
      ips: pod.plan.ips,
      node: NODE_NAME,
      labels: pod.plan.labels,
      meshed: pod.meshed,
      hostNetwork: false,
      ready: pod.ready,
      terminating: pod.terminating,
      finished: pod.finished,
      mode: modeOf(this.#mode, namespaceLabels?.[MODE_LABEL], pod.plan.annotations[MODE_LABEL]),
    };
  }
}

function clusterIpError(key: string, ip: string, why: string): LocalError {
  return new LocalError("cluster-ip", `Service ${key}: cluster IP ${ip} ${why}`, {
    exitCode: 2,
    hint: "leave spec.clusterIP out, and the Service gets a free one",
  });
}

function sameEndpoints(a: EndpointsRecord | undefined, b: EndpointsRecord): boolean {
  const spell = (endpoint: Endpoint) => JSON.stringify(endpoint);
  return a !== undefined && a.endpoints.map(spell).join() === b.endpoints.map(spell).join();
}

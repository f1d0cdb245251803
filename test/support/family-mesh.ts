/**
 * A mesh of pods whose address families a test chooses, which a play does not do: network namespaces around one that stands
 * for the node, in each pod the rules of `tulle init` and the built proxy, on the node a real operator. No containers.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ENV,
  type EndpointsRecord,
  PORTS,
  type PodRecord,
  PROXY_UID,
  type ServiceRecord,
} from "../../src/mesh/index.ts";
import { ip } from "../../src/testkit/addresses.ts";
import { endpointsRecord, podRecord, serviceRecord } from "../../src/testkit/mesh-records.ts";
import { connectionCounts } from "./connections.ts";
import { TULLE } from "./machine.ts";
import { cable, NetworkNamespace } from "./netns.ts";
import { OwnFolder } from "./own-folder.ts";
import { initialise } from "./pod.ts";

export type IpVersion = 4 | 6;

/** What the operator's process reads. */
export interface OperatorPlan {
  readonly hosts: readonly string[];
  readonly podRanges: readonly string[];
  readonly serviceRanges: readonly string[];
  readonly pods: readonly PodRecord[];
  readonly services: readonly ServiceRecord[];
  readonly endpoints: readonly EndpointsRecord[];
  /** Where the identity of each pod goes, in a folder of its uid. */
  readonly identities: string;
}

const OPERATOR = join(import.meta.dir, "family-mesh-operator.ts");
const OPERATOR_HOSTS = { 4: "10.78.0.1", 6: "fd78::1" } as const;

/** Puts identity and program where the proxy's container has them, which its user may read wherever this checkout lies. */
const PROXY = `
mount -t tmpfs none /run
mkdir -p /run/secrets/tulle
mount --bind "$1" /run/secrets/tulle
: >/run/tulle
mount --bind "$2" /run/tulle
exec setpriv --reuid ${PROXY_UID} --regid ${PROXY_UID} --clear-groups --inh-caps -all --bounding-set -all /run/tulle proxy 2>&1
`;

interface Member {
  readonly record: PodRecord;
  readonly namespace: NetworkNamespace;
}

export class FamilyMesh implements Disposable {
  readonly #stack = new DisposableStack();
  readonly #node = this.#stack.use(NetworkNamespace.create("node"));
  readonly #members = new Map<string, Member>();
  readonly #services = new Map<string, ServiceRecord>();

  private constructor() {}

  /**
   * `pods`: name → the families of its addresses; one without 6 has IPv6 switched off. `services`: name → the pods behind its
   * port 80, which goes to their 8080; every Service has an address of both families. Returns when every proxy is ready.
   */
  static async start(
    pods: Readonly<Record<string, readonly IpVersion[]>>,
    services: Readonly<Record<string, readonly string[]>>,
  ): Promise<FamilyMesh> {
    if (!existsSync(TULLE)) throw new Error("dist/tulle is missing: run `make build` first");
    const mesh = new FamilyMesh();
    try {
      await mesh.#start(pods, services);
      return mesh;
    } catch (error) {
      mesh[Symbol.dispose]();
      throw error;
    }
  }

  namespace(pod: string): NetworkNamespace {
    return this.#member(pod).namespace;
  }

  ip(pod: string, family: IpVersion): string {
    return ofFamily(this.#member(pod).record.ips, family);
  }

  vip(service: string, family: IpVersion): string {
    return ofFamily(this.#services.get(service)?.clusterIps ?? [], family);
  }

  /** Connections that the pod's proxy has counted, by `direction reason`. */
  async connections(pod: string): Promise<Map<string, number>> {
    const host = this.#member(pod).record.ips[0] ?? "";
    const url = `http://${host.includes(":") ? `[${host}]` : host}:${PORTS.metrics}/metrics`;
    return connectionCounts(await this.#node.run(["curl", "-sS", "-g", "--fail", "--max-time", "5", url]));
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  async #start(
    pods: Readonly<Record<string, readonly IpVersion[]>>,
    services: Readonly<Record<string, readonly string[]>>,
  ): Promise<void> {
    for (const host of Object.values(OPERATOR_HOSTS)) {
      this.#node.ip("addr", "add", host, "dev", "lo", ...(host.includes(":") ? ["nodad"] : []));
    }
    const forward = "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding";
    await this.#node.run(["sh", "-c", forward]);
    for (const [index, [name, families]] of Object.entries(pods).entries()) await this.#add(name, index + 1, families);
    for (const [index, name] of Object.keys(services).entries()) {
      const clusterIps = [ip(`10.79.0.${index + 1}`), ip(`fd79::${index + 1}`)];
      this.#services.set(name, serviceRecord(name, "", { clusterIps }));
    }
    const folder = this.#stack.use(new OwnFolder("tulle-family-mesh-")).path;
    const plan: OperatorPlan = {
      hosts: Object.values(OPERATOR_HOSTS),
      podRanges: ["10.78.0.0/16", "fd78::/16"],
      serviceRanges: ["10.79.0.0/16", "fd79::/16"],
      pods: [...this.#members.values()].map(({ record }) => record),
      services: [...this.#services.values()],
      endpoints: Object.entries(services).map(([name, behind]) =>
        endpointsRecord(
          name,
          behind.map((pod) => this.#member(pod).record),
        ),
      ),
      identities: folder,
    };
    for (const { uid } of plan.pods) mkdirSync(join(folder, uid));
    writeFileSync(join(folder, "plan.json"), JSON.stringify(plan));
    await this.#node.spawn([process.execPath, OPERATOR, join(folder, "plan.json")]).line("ready");
    await Promise.all([...this.#members.values()].map((member) => this.#startProxy(member, folder)));
  }

  async #add(name: string, number: number, families: readonly IpVersion[]): Promise<void> {
    const namespace = this.#stack.use(NetworkNamespace.create(name));
    const nets = families.map((family) =>
      family === 4
        ? { ip: `10.78.${number}.9`, gateway: `10.78.${number}.1`, prefix: 24 }
        : { ip: `fd78:${number}::9`, gateway: `fd78:${number}::1`, prefix: 64 },
    );
    if (!families.includes(6)) {
      await namespace.run(["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"]);
    }
    cable(
      { namespace, device: "eth0", addresses: nets.map((net) => `${net.ip}/${net.prefix}`) },
      { namespace: this.#node, device: `veth${number}`, addresses: nets.map((net) => `${net.gateway}/${net.prefix}`) },
    );
    for (const net of nets) namespace.ip("route", "add", "default", "via", net.gateway);
    this.#members.set(name, { namespace, record: podRecord(name, "", { ips: nets.map((net) => ip(net.ip)) }) });
  }

  async #startProxy({ namespace, record }: Member, folder: string): Promise<void> {
    await initialise(namespace);
    const hosts = record.ips.map((own) => (own.includes(":") ? `[${OPERATOR_HOSTS[6]}]` : OPERATOR_HOSTS[4]));
    const variables = {
      [ENV.podName]: record.name,
      [ENV.podNamespace]: record.namespace,
      [ENV.podUid]: record.uid,
      [ENV.podIps]: record.ips.join(),
      [ENV.serviceAccount]: record.serviceAccount,
      [ENV.operatorAddress]: `${hosts[0]}:${PORTS.operatorGrpc}`,
    };
    const command = ["unshare", "--mount", "sh", "-ec", PROXY, "sh", join(folder, record.uid), TULLE];
    await namespace.spawn(command, { variables }).line('"message":"ready"');
  }

  #member(pod: string): Member {
    const member = this.#members.get(pod);
    if (member === undefined) throw new Error(`there is no pod ${pod}`);
    return member;
  }
}

function ofFamily(ips: readonly string[], family: IpVersion): string {
  const found = ips.find((one) => one.includes(":") === (family === 6));
  if (found === undefined) throw new Error(`no IPv${family} address`);
  return found;
}

/** What discovery has told this proxy of workloads and services, by resource name, address and service. */
import { type Address, type Ip, type MeshService, serviceKey, type Workload } from "../mesh/index.ts";

/** A workload and how many connections of this proxy go to it now. */
export interface KnownWorkload {
  readonly workload: Workload;
  readonly load: Load;
}

/** Shared by all versions of one workload. */
export interface Load {
  active: number;
}

export type Entry =
  | { readonly kind: "workload"; readonly known: KnownWorkload }
  | { readonly kind: "service"; readonly service: MeshService };

interface Held {
  readonly version: string;
  readonly entry: Entry;
  readonly ips: readonly Ip[];
}

export class AddressBook {
  readonly #byName = new Map<string, Held>();
  /** Who says to have an address, the last one first: while it passes from one pod to another, that may be two. */
  readonly #byIp = new Map<Ip, readonly string[]>();
  /** Service key → names of the workloads behind it. */
  readonly #endpoints = new Map<string, Set<string>>();

  /** Resources held. */
  get size(): number {
    return this.#byName.size;
  }

  at(ip: Ip): Entry | undefined {
    return this.#heldAt(ip)?.[1].entry;
  }

  /** The workloads behind a service. */
  endpointsOf(service: MeshService): KnownWorkload[] {
    const found: KnownWorkload[] = [];
    for (const name of this.#endpoints.get(serviceKey(service.namespace, service.hostname)) ?? []) {
      const entry = this.#byName.get(name)?.entry;
      if (entry?.kind === "workload") found.push(entry.known);
    }
    return found;
  }

  /** Resource name → version of everything held, for a reconnect. */
  versions(): Map<string, string> {
    const versions = new Map<string, string>();
    for (const [name, held] of this.#byName) versions.set(name, held.version);
    return versions;
  }

  /** Answers the addresses about which something changed. */
  set(name: string, version: string, address: Address): readonly Ip[] {
    const before = this.#byName.get(name);
    if (before !== undefined) this.#unlink(name, before);
    let held: Held;
    if (address.kind === "workload") {
      const load = before?.entry.kind === "workload" ? before.entry.known.load : { active: 0 };
      const known = { workload: address.workload, load };
      held = { version, entry: { kind: "workload", known }, ips: address.workload.ips };
      for (const service of Object.keys(address.workload.services)) {
        const names = this.#endpoints.get(service);
        if (names === undefined) this.#endpoints.set(service, new Set([name]));
        else names.add(name);
      }
    } else {
      held = { version, entry: { kind: "service", service: address.service }, ips: address.service.vips };
    }
    this.#byName.set(name, held);
    for (const ip of held.ips) this.#byIp.set(ip, [name, ...(this.#byIp.get(ip) ?? [])]);
    return before === undefined ? held.ips : [...held.ips, ...before.ips];
  }

  /** Answers the addresses that the resource had. */
  delete(name: string): readonly Ip[] {
    const held = this.#byName.get(name);
    if (held === undefined) return [];
    this.#byName.delete(name);
    this.#unlink(name, held);
    return held.ips;
  }

  /** Forgets who had the address: discovery says that nobody has it. */
  deleteAt(ip: Ip): void {
    const names = this.#byIp.get(ip) ?? [];
    this.#byIp.delete(ip);
    for (const name of names) {
      const elsewhere = this.#byName.get(name)?.ips.some((one) => this.#byIp.get(one)?.includes(name));
      if (elsewhere !== true) this.delete(name);
    }
  }

  /**
   * Forgets what only `ip` kept: its workload or service, and the endpoints that no other kept service has.
   * `wanted` says which addresses are still followed.
   */
  release(ip: Ip, wanted: (ip: Ip) => boolean): void {
    const [name, held] = this.#heldAt(ip) ?? [];
    if (name === undefined || held === undefined || held.ips.some(wanted)) return;
    if (held.entry.kind === "workload") {
      if (!this.#servesKept(held.entry.known.workload)) this.delete(name);
      return;
    }
    const { service } = held.entry;
    const behind = [...(this.#endpoints.get(serviceKey(service.namespace, service.hostname)) ?? [])];
    this.delete(name);
    for (const endpoint of behind) {
      const entry = this.#byName.get(endpoint)?.entry;
      if (entry?.kind !== "workload") continue;
      const { workload } = entry.known;
      if (!workload.ips.some(wanted) && !this.#servesKept(workload)) this.delete(endpoint);
    }
  }

  #heldAt(ip: Ip): [name: string, held: Held] | undefined {
    const name = this.#byIp.get(ip)?.[0];
    const held = name === undefined ? undefined : this.#byName.get(name);
    return name === undefined || held === undefined ? undefined : [name, held];
  }

  #servesKept(workload: Workload): boolean {
    // The resource name of a service is its key.
    return Object.keys(workload.services).some((service) => this.#byName.has(service));
  }

  #unlink(name: string, held: Held): void {
    for (const ip of held.ips) {
      const others = (this.#byIp.get(ip) ?? []).filter((one) => one !== name);
      if (others.length === 0) this.#byIp.delete(ip);
      else this.#byIp.set(ip, others);
    }
    if (held.entry.kind !== "workload") return;
    for (const service of Object.keys(held.entry.known.workload.services)) {
      const names = this.#endpoints.get(service);
      names?.delete(name);
      if (names?.size === 0) this.#endpoints.delete(service);
    }
  }
}

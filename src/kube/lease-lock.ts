/**
 * Reads and writes the Lease of an election. What another candidate's Lease is worth is judged by how long we have seen it
 * unchanged, on a timer of our own: clocks of machines differ, and wall clocks are set.
 */
import type { Clock, Millis } from "../mesh/index.ts";
import type { KubeClient } from "./client.ts";
import { isKubeError } from "./errors.ts";
import { LEASES, type Lease, type LeaseSpec, microTime, sameTenure } from "./lease.ts";

export interface LeaseLockOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly namespace: string;
  readonly name: string;
  readonly identity: string;
  readonly leaseDuration: Millis;
  /** How long one request may take. */
  readonly timeout: Millis;
}

/** Who writes the Lease, as the API server notes it. */
const MANAGER = "tulle-election";

export class LeaseLock implements Disposable {
  readonly #options: LeaseLockOptions;
  /** The Lease as last read or written. */
  #lease: Lease | undefined;
  #expired = false;
  #expiry: Disposable | undefined;

  constructor(options: LeaseLockOptions) {
    this.#options = options;
  }

  /** Who holds the Lease by what we last saw. */
  get holder(): string | undefined {
    return this.#lease?.spec?.holderIdentity || undefined;
  }

  get transitions(): number {
    return this.#lease?.spec?.leaseTransitions ?? 0;
  }

  /** Takes the Lease if nobody holds it, or its holder has not renewed it in time. True: it is ours. Throws `KubeError`. */
  async take(): Promise<boolean> {
    const { identity } = this.#options;
    const lease = await this.#read();
    if (lease !== undefined && this.holder !== undefined && this.holder !== identity && !this.#expired) return false;
    return this.#write(lease, this.#claim(lease?.spec));
  }

  /** Renews our Lease. False: another holds it now. Throws `KubeError` when it could not be found out. */
  async renew(signal: AbortSignal): Promise<boolean> {
    const lease = this.#lease;
    if (lease !== undefined && (await this.#write(lease, this.#claim(lease.spec), signal))) return true;
    // Changed by another hand: only a holder's name says whether it is lost.
    const now = await this.#read(signal);
    if (now !== undefined && this.holder !== this.#options.identity) return false;
    return this.#write(now, this.#claim(now?.spec), signal);
  }

  /** Gives the Lease up, so that the next need not wait for its end. Throws `KubeError`. */
  async release(): Promise<void> {
    const { clock, identity } = this.#options;
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      if (this.#lease === undefined || this.holder !== identity) return;
      const now = microTime(clock.now());
      const spec: LeaseSpec = {
        ...this.#lease.spec,
        holderIdentity: "",
        leaseDurationSeconds: 1,
        acquireTime: now,
        renewTime: now,
      };
      if (await this.#write(this.#lease, spec)) return;
      await this.#read();
    }
  }

  [Symbol.dispose](): void {
    this.#expiry?.[Symbol.dispose]();
  }

  #claim(before: LeaseSpec | undefined): LeaseSpec {
    const { clock, identity, leaseDuration } = this.#options;
    const now = microTime(clock.now());
    const ours = before?.holderIdentity === identity;
    const transitions = before?.leaseTransitions ?? 0;
    return {
      ...before,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDuration / 1000),
      acquireTime: ours ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: before === undefined || ours ? transitions : transitions + 1,
    };
  }

  async #read(signal?: AbortSignal): Promise<Lease | undefined> {
    const { client, namespace, name, timeout } = this.#options;
    try {
      return this.#saw(await client.get(LEASES, { namespace, name }, { signal, timeout }));
    } catch (error) {
      if (!isKubeError(error, "not-found")) throw error;
      this.#lease = undefined;
      return undefined;
    }
  }

  /** False when another was faster. The resource version makes this the one point where an election is decided. */
  async #write(before: Lease | undefined, spec: LeaseSpec, signal?: AbortSignal): Promise<boolean> {
    const { client, namespace, name, timeout } = this.#options;
    const options = { signal, timeout, fieldManager: MANAGER };
    try {
      this.#saw(
        before === undefined
          ? await client.create(LEASES, { metadata: { namespace, name }, spec }, options)
          : await client.update(LEASES, { ...before, spec }, options),
      );
      return true;
    } catch (error) {
      if (isKubeError(error, "conflict", "already-exists", "not-found")) return false;
      throw error;
    }
  }

  #saw(lease: Lease): Lease {
    const { clock, leaseDuration } = this.#options;
    const before = this.#lease?.spec;
    this.#lease = lease;
    const spec = lease.spec ?? {};
    if (before !== undefined && sameTenure(before, spec)) return lease;
    this.#expiry?.[Symbol.dispose]();
    this.#expired = false;
    const duration = spec.leaseDurationSeconds === undefined ? leaseDuration : spec.leaseDurationSeconds * 1000;
    this.#expiry = clock.after(duration, () => {
      this.#expired = true;
    });
    return lease;
  }
}

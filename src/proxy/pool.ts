/**
 * Tunnels to peers, shared by all connections to the same identity at the same address. One dial serves any number of
 * waiting streams; when a peer's stream limit is reached, the next tunnel is dialled; an unused tunnel closes.
 */
import type { SpiffeId } from "../identity/index.ts";
import type { Clock, Ip, Millis, Reason } from "../mesh/index.ts";
import type { Http2Connection } from "../tunnel/index.ts";
import type { Credentials } from "./credentials.ts";
import type { Metrics } from "./metrics.ts";
import { Tunnel, type TunnelObserver } from "./tunnel-client.ts";

/** Who waits for a stream. */
export interface StreamWaiter {
  /** `connection.canOpen` is true: the waiter opens its stream before it returns. */
  onTunnel(connection: Http2Connection): void;
  onNoTunnel(reason: Reason, detail: string): void;
}

export interface PoolOptions {
  readonly id: SpiffeId;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** The port of the peers' HBONE listeners. */
  readonly hbonePort: number;
}

/** A tunnel without streams for this long closes. */
const UNUSED_LIMIT: Millis = 5 * 60_000;
const SWEEP_INTERVAL: Millis = 30_000;
/** Connections that wait for one peer's tunnel. */
export const WAITING_LIMIT = 16_384;
/** Tunnels to one peer: a peer that allows few streams must not cost a tunnel for each connection. */
export const TUNNELS_PER_PEER = 64;

export class TunnelPool implements TunnelObserver, Disposable {
  readonly #options: PoolOptions;
  readonly #peers = new Map<string, Peer>();
  /** Every tunnel that is not over, also those that take no new streams. */
  readonly #live = new Set<Tunnel>();
  #sweep: Disposable | undefined;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Tunnels that are up. */
  get size(): number {
    let size = 0;
    for (const peer of this.#peers.values()) size += peer.tunnels.length;
    return size;
  }

  /** Gives the waiter a tunnel to the peer at the address: at once when one has room, or when the dial has ended. */
  acquire(peer: SpiffeId, ip: Ip, waiter: StreamWaiter): void {
    if (this.#closed) return waiter.onNoTunnel("failed-overload", "the proxy is shutting down");
    // The own identity is part of the key, so that a tunnel can never serve another one (dataplane.md §2.3).
    const key = `${this.#options.id} ${peer} ${ip}`;
    let entry = this.#peers.get(key);
    if (entry === undefined) {
      entry = new Peer(key, peer, ip);
      this.#peers.set(key, entry);
    }
    const connection = entry.withRoom();
    if (connection !== undefined) return waiter.onTunnel(connection);
    if (entry.waiting.length >= WAITING_LIMIT)
      return waiter.onNoTunnel("failed-overload", "too many wait for a tunnel");
    entry.waiting.push(waiter);
    this.#dial(entry);
  }

  onReady(tunnel: Tunnel): void {
    const entry = this.#entryOf(tunnel);
    if (entry === undefined) return tunnel.destroy();
    this.#options.metrics.outbound.handshakes++;
    entry.dialling = undefined;
    if (!tunnel.canOpen) {
      // The next one would be no better: dialling on would never end.
      tunnel.retire();
      return this.#refuse(entry, "failed-overload", "the peer takes no streams");
    }
    entry.tunnels.push({ tunnel, unusedSince: this.#options.clock.now() });
    this.#startSweep();
    this.#serve(entry);
  }

  onCapacity(tunnel: Tunnel): void {
    const entry = this.#entryOf(tunnel);
    if (entry !== undefined) this.#serve(entry);
  }

  onFailed(tunnel: Tunnel, reason: Reason, detail: string): void {
    this.#live.delete(tunnel);
    const entry = this.#entryOf(tunnel);
    if (entry === undefined || entry.dialling !== tunnel) return;
    this.#options.metrics.outbound.handshakesFailed++;
    entry.dialling = undefined;
    this.#refuse(entry, reason, detail);
  }

  onClosed(tunnel: Tunnel): void {
    if (tunnel.over) this.#live.delete(tunnel);
    const entry = this.#entryOf(tunnel);
    if (entry === undefined) return;
    const index = entry.tunnels.findIndex((used) => used.tunnel === tunnel);
    if (index >= 0) entry.tunnels.splice(index, 1);
    // Whoever waited for room on it gets a new tunnel.
    if (entry.waiting.length > 0) this.#dial(entry);
    else this.#forgetIfEmpty(entry);
  }

  /** Cuts every tunnel. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#sweep?.[Symbol.dispose]();
    for (const entry of [...this.#peers.values()]) {
      this.#peers.delete(entry.key);
      for (const waiter of entry.waiting.splice(0)) waiter.onNoTunnel("failed-overload", "the proxy is shutting down");
    }
    for (const tunnel of [...this.#live]) tunnel.destroy();
  }

  #dial(entry: Peer): void {
    if (entry.dialling !== undefined) return;
    if (entry.tunnels.length >= TUNNELS_PER_PEER) {
      return this.#refuse(entry, "failed-overload", "the peer's tunnels are full");
    }
    const tls = this.#options.credentials.current();
    if (tls === undefined) return this.#refuse(entry, "failed-no-certificate", "this proxy has no valid certificate");
    const target = { ip: entry.ip, port: this.#options.hbonePort, peer: entry.peer };
    entry.dialling = new Tunnel(target, tls, this.#options.clock, this);
    this.#live.add(entry.dialling);
  }

  #serve(entry: Peer): void {
    while (entry.waiting.length > 0) {
      const connection = entry.withRoom();
      if (connection === undefined) return this.#dial(entry);
      entry.waiting.shift()?.onTunnel(connection);
    }
  }

  #refuse(entry: Peer, reason: Reason, detail: string): void {
    const waiting = entry.waiting.splice(0);
    this.#forgetIfEmpty(entry);
    for (const waiter of waiting) waiter.onNoTunnel(reason, detail);
  }

  #entryOf(tunnel: Tunnel): Peer | undefined {
    return this.#peers.get(`${this.#options.id} ${tunnel.target.peer} ${tunnel.target.ip}`);
  }

  #forgetIfEmpty(entry: Peer): void {
    if (entry.tunnels.length === 0 && entry.dialling === undefined && entry.waiting.length === 0) {
      this.#peers.delete(entry.key);
    }
  }

  #startSweep(): void {
    this.#sweep ??= this.#options.clock.after(SWEEP_INTERVAL, () => {
      this.#sweep = undefined;
      this.#closeUnused();
      if (this.size > 0) this.#startSweep();
    });
  }

  #closeUnused(): void {
    const now = this.#options.clock.now();
    for (const entry of [...this.#peers.values()]) {
      for (const used of [...entry.tunnels]) {
        if (used.tunnel.openStreams > 0) used.unusedSince = now;
        else if (now - used.unusedSince >= UNUSED_LIMIT) {
          entry.tunnels.splice(entry.tunnels.indexOf(used), 1);
          used.tunnel.retire();
        }
      }
      this.#forgetIfEmpty(entry);
    }
  }
}

interface UsedTunnel {
  readonly tunnel: Tunnel;
  unusedSince: Millis;
}

class Peer {
  readonly key: string;
  readonly peer: SpiffeId;
  readonly ip: Ip;
  readonly tunnels: UsedTunnel[] = [];
  readonly waiting: StreamWaiter[] = [];
  dialling: Tunnel | undefined;

  constructor(key: string, peer: SpiffeId, ip: Ip) {
    this.key = key;
    this.peer = peer;
    this.ip = ip;
  }

  /** The fullest-first choice: the first tunnel that still has room. */
  withRoom(): Http2Connection | undefined {
    for (const { tunnel } of this.tunnels) if (tunnel.canOpen) return tunnel.connection;
    return undefined;
  }
}

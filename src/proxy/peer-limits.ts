/**
 * What one verified peer may hold of this proxy. A peer is one identity at one address, as for the pool that dials: pods of one
 * service account do not take each other's share, and neither do those behind one address.
 */
import type { SpiffeId } from "../identity/index.ts";
import type { LocalSettings } from "../tunnel/index.ts";

export const PEER_LIMITS = {
  /** Tunnels of one peer: as many as our own pool opens to one. A ztunnel has 100 streams on each. */
  tunnels: 64,
  /** Streams that one tunnel may have open; ztunnel allows 200, but one tunnel is faster than many. */
  streamsOfATunnel: 4_096,
  /**
   * Streams over all tunnels of one peer. Each is a connection from this pod's address to one of its ports, for which the kernel
   * has some 28,000 ports to offer: one peer must not take them all.
   */
  streams: 16_384,
  /**
   * Tunnels with full windows. What an application does not take waits here, up to the window of its tunnel: 16 MiB for each
   * of these, 1 MiB for each other. That bounds what peers can make us keep.
   */
  wideTunnels: 8,
  /** One peer may have two: while it changes to a new certificate, the old tunnel still has streams. */
  wideTunnelsOfAPeer: 2,
} as const;

export type PeerLimitNumbers = { readonly [name in keyof typeof PEER_LIMITS]: number };

/** A quarter of it for each stream, so that a slow one leaves room for others. */
const NARROW: Partial<LocalSettings> = { streamWindow: 256 * 1024, connectionWindow: 1024 * 1024 };

interface Held {
  tunnels: number;
  wide: number;
  streams: number;
}

export class PeerLimits {
  readonly numbers: PeerLimitNumbers;
  readonly #peers = new Map<string, Held>();
  #wide = 0;

  constructor(numbers: PeerLimitNumbers = PEER_LIMITS) {
    this.numbers = numbers;
  }

  /** Peers that hold something. */
  get size(): number {
    return this.#peers.size;
  }

  /** A place for one more tunnel; undefined when the peer has all that it may have. */
  admit(peer: SpiffeId, address: string): TunnelPlace | undefined {
    const { numbers } = this;
    const key = `${peer} ${address}`;
    const held = this.#peers.get(key) ?? { tunnels: 0, wide: 0, streams: 0 };
    if (held.tunnels >= numbers.tunnels) return undefined;
    const wide = this.#wide < numbers.wideTunnels && held.wide < numbers.wideTunnelsOfAPeer;
    this.#peers.set(key, held);
    held.tunnels++;
    if (wide) {
      held.wide++;
      this.#wide++;
    }
    return {
      mostStreams: numbers.streams,
      settings: { maxConcurrentStreams: numbers.streamsOfATunnel, ...(wide ? {} : NARROW) },
      takeStream: () => {
        if (held.streams >= numbers.streams) return false;
        held.streams++;
        return true;
      },
      giveStream: () => {
        held.streams--;
        this.#forget(key, held);
      },
      give: () => {
        held.tunnels--;
        if (wide) {
          held.wide--;
          this.#wide--;
        }
        this.#forget(key, held);
      },
    };
  }

  #forget(key: string, held: Held): void {
    if (held.tunnels === 0 && held.streams === 0) this.#peers.delete(key);
  }
}

/** What one tunnel holds of its peer's share. */
export interface TunnelPlace {
  /** What the tunnel allows the peer. */
  readonly settings: Partial<LocalSettings>;
  /** Streams that the peer may have over all its tunnels. */
  readonly mostStreams: number;
  /** A place for one more stream; false when the peer has all that it may have. */
  takeStream(): boolean;
  /** Gives the place of a stream back: once for each that was taken, also after the tunnel has ended. */
  giveStream(): void;
  /** The tunnel has ended. Once. */
  give(): void;
}

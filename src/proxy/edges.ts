/** Who spoke with whom: a bounded table of totals for reports. Traffic there is lossy by design, state is exact. */
import type { SpiffeId } from "../identity/index.ts";
import type { Clock, Millis, Reason } from "../mesh/index.ts";
import type { Direction } from "./metrics.ts";
import type { Outcome } from "./outcome.ts";

export interface ObservedEdge {
  readonly direction: Direction;
  /** Only a verified identity. */
  readonly peer: SpiffeId | undefined;
  readonly destination: string;
  readonly port: number;
  readonly reason: Reason;
  connections: number;
  lastSeen: Millis;
}

/** Edges in the table. */
export const EDGE_LIMIT = 256;

export class EdgeTable {
  readonly #clock: Clock;
  /** In the order of last use: a scan of many ports must not keep out the edges that are used. */
  readonly #edges = new Map<string, ObservedEdge>();
  /** Edges that were given up for others. */
  dropped = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  observe(outcome: Outcome): void {
    const { direction, reason, destination, peer } = outcome;
    if (destination === undefined) return;
    const key = `${direction} ${reason} ${destination.ip} ${destination.port} ${peer ?? ""}`;
    const lastSeen = this.#clock.now();
    const known = this.#edges.get(key);
    if (known !== undefined) {
      known.connections++;
      known.lastSeen = lastSeen;
      this.#edges.delete(key);
      this.#edges.set(key, known);
      return;
    }
    const edge = { direction, peer, destination: destination.ip, port: destination.port, reason };
    this.#edges.set(key, { ...edge, connections: 1, lastSeen });
    if (this.#edges.size <= EDGE_LIMIT) return;
    for (const oldest of this.#edges.keys()) {
      this.#edges.delete(oldest);
      this.dropped++;
      return;
    }
  }

  all(): IterableIterator<ObservedEdge> {
    return this.#edges.values();
  }
}

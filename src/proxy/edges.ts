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

const LIMIT = 256;

export class EdgeTable {
  readonly #clock: Clock;
  readonly #edges = new Map<string, ObservedEdge>();
  /** Connections that found no room. */
  dropped = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  observe(outcome: Outcome): void {
    const { direction, reason, destination, peer } = outcome;
    if (destination === undefined) return;
    const key = `${direction} ${reason} ${destination.ip} ${destination.port} ${peer ?? ""}`;
    const known = this.#edges.get(key);
    if (known !== undefined) {
      known.connections++;
      known.lastSeen = this.#clock.now();
    } else if (this.#edges.size >= LIMIT) this.dropped++;
    else {
      const lastSeen = this.#clock.now();
      const edge = { direction, peer, destination: destination.ip, port: destination.port, reason };
      this.#edges.set(key, { ...edge, connections: 1, lastSeen });
    }
  }

  all(): IterableIterator<ObservedEdge> {
    return this.#edges.values();
  }
}

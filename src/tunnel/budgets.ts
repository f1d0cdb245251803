/**
 * How much a peer may do that costs us and is of no use: each kind is a token bucket of one connection. Whoever goes over
 * gets GOAWAY ENHANCE_YOUR_CALM. A mesh peer that behaves never comes near: the numbers leave room for the keep-alive
 * and the cancellations of a busy one.
 */
import { type Clock, Rate } from "../mesh/index.ts";

interface Budget {
  /** So many at once. */
  readonly burst: number;
  /** So many a second in the long run. */
  readonly perSecond: number;
  /** What teaches it. */
  readonly lesson: string;
}

/** The one table of all budgets. */
export const BUDGETS = {
  /** RST_STREAM for a request that we had not answered; one that was answered cost the peer as much as us. */
  "reset-received": { burst: 1000, perSecond: 100, lesson: "CVE-2023-44487 rapid reset" },
  /** Stream errors that the peer made us send. */
  "reset-provoked": { burst: 100, perSecond: 10, lesson: "CVE-2025-8671 MadeYouReset" },
  settings: { burst: 100, perSecond: 10, lesson: "CVE-2019-9515" },
  ping: { burst: 200, perSecond: 20, lesson: "CVE-2019-9512" },
  /** DATA with no payload that does not end its stream. */
  "empty-data": { burst: 100, perSecond: 10, lesson: "CVE-2019-9518" },
  /** PRIORITY, unknown types, frames for streams that are long gone. */
  ignored: { burst: 1000, perSecond: 100, lesson: "CVE-2019-9513" },
  /** WINDOW_UPDATE of 0 on a stream. */
  "zero-window-update": { burst: 10, perSecond: 1, lesson: "CVE-2025-8671 MadeYouReset" },
} as const satisfies Record<string, Budget>;

export type BudgetKind = keyof typeof BUDGETS;

/** The budgets of one connection. */
export class AbuseBudgets {
  readonly #clock: Clock;
  /** Made on first use: most connections never spend anything. */
  readonly #buckets = new Map<BudgetKind, Rate>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes one token; false when there is none left. */
  spend(kind: BudgetKind): boolean {
    let bucket = this.#buckets.get(kind);
    if (bucket === undefined) {
      const { burst, perSecond } = BUDGETS[kind];
      bucket = new Rate(this.#clock, 1_000 / perSecond, burst);
      this.#buckets.set(kind, bucket);
    }
    return bucket.take();
  }
}

/**
 * How much a peer may do that costs us and is of no use: each kind is a token bucket of one connection. Whoever goes over
 * gets GOAWAY ENHANCE_YOUR_CALM. A mesh peer that behaves never comes near: the numbers leave room for the keep-alive
 * and the cancellations of a busy one, and what grows with the traffic earns its tokens by it.
 */
import { type Clock, Rate } from "../mesh/index.ts";

export interface Budget {
  /** What one token is taken for. */
  readonly what: string;
  /** So many at once. */
  readonly burst: number;
  /** So many a second in the long run. */
  readonly perSecond: number;
  /** What teaches it. */
  readonly lesson: string;
}

/** DATA that we sent, bytes, for which the peer may send one WINDOW_UPDATE more: no known peer sends one for less than 4 KiB. */
export const BYTES_PER_UPDATE = 512;
/** And for each stream that began: a peer may widen its window, and end what it still sent. */
export const UPDATES_PER_STREAM = 4;
/** Frames for a stream that is over: its end and its reset may cross ours on the way. */
export const LATE_FRAMES_PER_STREAM = 2;

/** The one table of all budgets; `docs/reference/limits.md` is made from it. */
export const BUDGETS = {
  "reset-received": {
    // One that was answered cost the peer as much as us.
    what: "RST_STREAM for a request that was not answered yet",
    burst: 1000,
    perSecond: 100,
    lesson: "CVE-2023-44487 rapid reset",
  },
  "reset-provoked": {
    what: "stream errors that the peer made us send",
    burst: 100,
    perSecond: 10,
    lesson: "CVE-2025-8671 MadeYouReset",
  },
  settings: {
    what: "SETTINGS, and acknowledgements of ours beyond the first",
    burst: 100,
    perSecond: 10,
    lesson: "CVE-2019-9515",
  },
  ping: {
    what: "PING, and answers to a PING that we did not send",
    burst: 200,
    perSecond: 20,
    lesson: "CVE-2019-9512",
  },
  "empty-data": {
    what: "DATA with no payload that does not end its stream",
    burst: 100,
    perSecond: 10,
    lesson: "CVE-2019-9518",
  },
  ignored: {
    what: "PRIORITY, unknown frame types, interim responses, streams that we refuse before the peer knows our limits",
    burst: 1000,
    perSecond: 100,
    lesson: "CVE-2019-9513",
  },
  late: {
    what: `HEADERS, RST_STREAM and empty DATA for streams that are over, beyond ${LATE_FRAMES_PER_STREAM} for each stream`,
    burst: 1000,
    perSecond: 100,
    lesson: "CVE-2019-9518",
  },
  "window-update": {
    what: `WINDOW_UPDATE beyond one for ${BYTES_PER_UPDATE} bytes that we sent and ${UPDATES_PER_STREAM} for each stream`,
    burst: 2000,
    perSecond: 200,
    lesson: "CVE-2019-9511 data dribble",
  },
  "zero-window-update": {
    what: "WINDOW_UPDATE of 0 on a stream",
    burst: 10,
    perSecond: 1,
    lesson: "CVE-2025-8671 MadeYouReset",
  },
  goaway: {
    what: "GOAWAY",
    burst: 10,
    perSecond: 1,
    lesson: "RFC 9113 §10.5",
  },
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

  /** Takes one token, after `earned` were added to what is left; false when there is none. */
  spend(kind: BudgetKind, earned = 0): boolean {
    let bucket = this.#buckets.get(kind);
    if (bucket === undefined) {
      const { burst, perSecond } = BUDGETS[kind];
      bucket = new Rate(this.#clock, 1_000 / perSecond, burst);
      this.#buckets.set(kind, bucket);
    }
    if (earned > 0) bucket.give(earned);
    return bucket.take();
  }
}

/** How streams closed, remembered for a while: it decides what a late frame means (RFC 9113 §5.1 "closed"). */

/** `ended`: END_STREAM both ways. `forgotten`: never used, or too long ago to tell. */
export type Closing = "reset-by-us" | "reset-by-peer" | "ended" | "forgotten";

/**
 * Frames in flight arrive within a round trip; so many closings of one kind later a stream may be forgotten. Resets are
 * kept apart, because after those late frames are right, and busy connections end thousands of streams a second.
 */
const REMEMBERED = 512;

class Ring {
  readonly #ids: number[] = [];
  #next = 0;

  add(id: number): void {
    this.#ids[this.#next] = id;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  has(id: number): boolean {
    return this.#ids.includes(id);
  }
}

/** The last closings of one connection. */
export class ClosedStreams {
  readonly #resetByUs = new Ring();
  readonly #resetByPeer = new Ring();
  readonly #ended = new Ring();

  add(id: number, closing: Exclude<Closing, "forgotten">): void {
    if (closing === "reset-by-us") this.#resetByUs.add(id);
    else if (closing === "reset-by-peer") this.#resetByPeer.add(id);
    else this.#ended.add(id);
  }

  get(id: number): Closing {
    if (this.#resetByUs.has(id)) return "reset-by-us";
    if (this.#resetByPeer.has(id)) return "reset-by-peer";
    return this.#ended.has(id) ? "ended" : "forgotten";
  }
}

/** Below this, or a sixteenth of a small window, no WINDOW_UPDATE is worth its frame. */
const LEAST_INCREMENT = 16_384;

/** What we allow the peer to send (RFC 9113 §5.2, §6.9), of one stream or of the connection. */
export class ReceiveWindow {
  /** Bytes when nothing is outstanding. */
  readonly size: number;
  /** Bytes that the peer may still send. */
  #left: number;
  /** Bytes that were passed on but not yet announced to the peer. */
  #owed = 0;
  readonly #least: number;

  constructor(size: number) {
    this.size = size;
    this.#left = size;
    this.#least = Math.min(size / 16, LEAST_INCREMENT);
  }

  /** The peer sent `bytes`; false when that is more than it was allowed. */
  take(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /**
   * `bytes` were passed on. Returns the increment to announce now, or 0. WINDOW_UPDATE goes out once as much is owed as
   * the peer has left: half of the window when all is passed on at once, sooner when slow streams sit on the rest of the
   * connection's window, because otherwise they would stall the quick ones. A peer with nothing left gets even a little.
   */
  give(bytes: number): number {
    this.#owed += bytes;
    if (this.#owed < this.#left || this.#owed === 0) return 0;
    if (this.#owed < this.#least && this.#left > 0) return 0;
    const increment = this.#owed;
    this.#owed = 0;
    this.#left += increment;
    return increment;
  }
}

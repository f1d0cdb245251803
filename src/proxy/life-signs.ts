/**
 * Whether the other end of a tunnel is still there. TCP's keep-alive finds a peer that vanished while nothing was to be sent, and
 * nothing else: with bytes on their way the kernel tries for a quarter of an hour (tcp_retries2). So PING, while streams are open.
 */
import type { Millis } from "../mesh/index.ts";
import type { Http2Connection } from "../tunnel/index.ts";

/** Time between two looks (ztunnel: 10 s, and 20 s for the answer). */
export const LOOK_EVERY: Millis = 10_000;
/** A PING may go unanswered for so many looks: a peer whose processor is throttled is slow, not gone. */
export const LOOKS_UNANSWERED = 2;

export class LifeSigns {
  readonly #connection: Http2Connection;
  /** Looks since the PING that is not answered yet. */
  #unanswered = 0;

  constructor(connection: Http2Connection) {
    this.#connection = connection;
  }

  /** To be called every `LOOK_EVERY`. False: the peer is gone, or it does not read. */
  look(): boolean {
    if (this.#unanswered > 0) this.#unanswered++;
    else if (this.#connection.openStreams > 0) {
      this.#unanswered = 1;
      this.#connection.ping(() => {
        this.#unanswered = 0;
      });
    }
    return this.#unanswered <= LOOKS_UNANSWERED;
  }
}

/** The last of a connection: what waits goes out, then the transport closes, and does so in bounded time. */
import type { Clock, Millis } from "../mesh/index.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { ByteTransport } from "./transport.ts";

/** After GOAWAY for an error the peer has this long to take it (CVE-2026-21714: a session that was never freed). */
const LINGER: Millis = 1000;

export class TransportEnd {
  readonly #transport: ByteTransport;
  readonly #writer: FrameWriter;
  readonly #clock: Clock;
  #state: "open" | "flushing" | "closing" | "gone" = "open";
  #deadline: Disposable | undefined;

  constructor(transport: ByteTransport, writer: FrameWriter, clock: Clock) {
    this.#transport = transport;
    this.#writer = writer;
    this.#clock = clock;
  }

  /** Nothing may be written any more. */
  get closing(): boolean {
    return this.#state === "closing" || this.#state === "gone";
  }

  /** Closes once all is out, destroys after `LINGER` in any case. */
  closeSoon(): void {
    if (this.#state !== "open") return;
    this.#state = "flushing";
    this.#deadline = this.#clock.after(LINGER, () => this.destroy());
    this.flushed();
  }

  /** Something went out: closes if that was the last of it. */
  flushed(): void {
    if (this.#state !== "flushing" || this.#writer.pending > 0) return;
    this.#state = "closing";
    this.#transport.close();
  }

  /** All is out already: closes, and leaves it to the transport how long the peer takes to read it. */
  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#transport.close();
  }

  destroy(): void {
    if (this.#state === "gone") return;
    this.gone();
    this.#transport.destroy();
  }

  /** The transport is closed. */
  gone(): void {
    this.#state = "gone";
    this.#deadline?.[Symbol.dispose]();
    this.#writer.discard();
  }
}

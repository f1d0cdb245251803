/** A Bun socket as the byte transport of an HTTP/2 connection. Hot path: nothing is created per write. */
import type { Clock, Millis } from "../mesh/index.ts";
import type { ByteTransport } from "../tunnel/index.ts";
import type { OwnedSocket } from "./socket.ts";

/** How long a peer may take to close after we did. */
const CLOSE_LIMIT: Millis = 5_000;

export class SocketTransport implements ByteTransport {
  readonly #socket: OwnedSocket;
  readonly #clock: Clock;
  #deadline: Disposable | undefined;
  #closed = false;

  constructor(socket: OwnedSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
  }

  write(bytes: Uint8Array): number {
    const taken = this.#socket.write(bytes);
    // A closed socket swallows what is written; its `close` callback ends the connection.
    return taken < 0 ? bytes.length : taken;
  }

  close(): void {
    if (this.#closed) return;
    // Not `end`: after it `terminate` does nothing, and a peer that goes on sending is read for ever (Bun 1.4.5).
    this.#socket.shutdown();
    this.#deadline ??= this.#clock.after(CLOSE_LIMIT, () => this.#socket.terminate());
  }

  destroy(): void {
    this.closed();
    this.#socket.terminate();
  }

  /** To be called when the socket is closed, by whomever. */
  closed(): void {
    this.#closed = true;
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = undefined;
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }
}

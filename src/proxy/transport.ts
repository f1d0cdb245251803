/** A Bun socket as the byte transport of an HTTP/2 connection. Hot path: nothing is created per write. */
import type { ByteTransport } from "../tunnel/index.ts";
import type { OwnedSocket } from "./socket.ts";

export class SocketTransport implements ByteTransport {
  readonly #socket: OwnedSocket;

  constructor(socket: OwnedSocket) {
    this.#socket = socket;
  }

  write(bytes: Uint8Array): number {
    const taken = this.#socket.write(bytes);
    // A closed socket swallows what is written; its `close` callback ends the connection.
    return taken < 0 ? bytes.length : taken;
  }

  close(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.terminate();
  }

  pauseReading(): void {
    this.#socket.pause();
  }

  resumeReading(): void {
    this.#socket.resume();
  }
}

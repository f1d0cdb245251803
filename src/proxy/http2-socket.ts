/** An HTTP/2 connection on an open socket: it owns the socket until both are gone. */
import type { Clock } from "../mesh/index.ts";
import { type ConnectionHandler, Http2Connection, type LocalSettings } from "../tunnel/index.ts";
import type { OwnedSocket, SocketOwner } from "./socket.ts";
import { SocketTransport } from "./transport.ts";

export interface Http2SocketOptions {
  readonly role: "client" | "server";
  /** For how long a peer may take to close after we did. */
  readonly clock: Clock;
  readonly handler: ConnectionHandler;
  readonly settings?: Partial<LocalSettings>;
  /** The socket is gone, and so is the connection. An error when it broke. Once, after the handler's `onClose`. */
  readonly onClosed: (error: Error | undefined) => void;
}

export class Http2Socket implements SocketOwner {
  readonly connection: Http2Connection;
  readonly #socket: OwnedSocket;
  readonly #transport: SocketTransport;
  readonly #onClosed: (error: Error | undefined) => void;

  /** `socket`: open and, with TLS, authenticated. */
  constructor(socket: OwnedSocket, options: Http2SocketOptions) {
    const { role, clock, handler, settings } = options;
    this.#socket = socket;
    this.#onClosed = options.onClosed;
    this.#transport = new SocketTransport(socket, clock);
    this.connection = new Http2Connection({ role, transport: this.#transport, handler, settings: settings ?? {} });
    socket.data = this;
  }

  opened(): void {}

  received(chunk: Uint8Array): void {
    this.connection.receive(chunk);
  }

  writable(): void {
    this.connection.transportWritable();
  }

  ended(): void {
    this.#socket.end();
  }

  closed(error: Error | undefined): void {
    this.#transport.closed();
    // Bun calls this inside `terminate()`, and a transport must not call back into its connection.
    queueMicrotask(() => {
      this.connection.transportClosed();
      this.#onClosed(error);
    });
  }
}

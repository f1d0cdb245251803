/** Bun's plain TCP sockets as byte transports: stands for the TLS sockets of the proxy. */
import type { ByteTransport } from "../tunnel/index.ts";
import type { TransportOwner } from "./memory-transport.ts";

/** One TCP connection. */
class SocketTransport implements ByteTransport {
  readonly #socket: Bun.Socket<SocketTransport>;
  owner: TransportOwner | undefined;

  constructor(socket: Bun.Socket<SocketTransport>) {
    this.#socket = socket;
  }

  write(bytes: Uint8Array): number {
    return Math.max(0, this.#socket.write(bytes)); // -1 on a closed socket
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

const handlers = {
  data(socket: Bun.Socket<SocketTransport>, chunk: Buffer): void {
    socket.data.owner?.receive(chunk);
  },
  drain(socket: Bun.Socket<SocketTransport>): void {
    socket.data.owner?.transportWritable();
  },
  close(socket: Bun.Socket<SocketTransport>): void {
    socket.data.owner?.transportClosed();
  },
};

function adopt(socket: Bun.Socket<SocketTransport>, own: (transport: ByteTransport) => TransportOwner): void {
  const transport = new SocketTransport(socket);
  socket.data = transport;
  socket.setNoDelay(true);
  transport.owner = own(transport);
}

/** Listens on a free loopback port; `own` makes the connection of each accepted socket. */
export function listenTransport(
  own: (transport: ByteTransport) => TransportOwner,
): Disposable & { readonly port: number } {
  const listener = Bun.listen<SocketTransport>({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: (socket) => adopt(socket, own), ...handlers },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** Connects to a loopback port; `own` makes the connection. */
export async function connectTransport(
  port: number,
  own: (transport: ByteTransport) => TransportOwner,
): Promise<ByteTransport> {
  const socket = await Bun.connect<SocketTransport>({
    hostname: "127.0.0.1",
    port,
    socket: { open: (opened) => adopt(opened, own), ...handlers },
  });
  return socket.data;
}

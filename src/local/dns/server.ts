/** The node's name server: UDP and TCP on port 53, cluster names from the view, others from the machine's resolvers. */
import type { Ip } from "../../mesh/index.ts";
import type { NameView } from "./answer.ts";
import { reply } from "./message.ts";

const FORWARD_TIMEOUT = 3_000;
const MAX_FORWARDS = 256;
/** A TCP client that says nothing for this long is let go. */
const TCP_IDLE_SECONDS = 10;

export interface NameServerOptions {
  readonly addresses: readonly Ip[];
  /** 53 unless a test says otherwise; 0 takes any. */
  readonly port: number;
  readonly view: NameView;
  /** Resolvers for names outside the cluster; none answers SERVFAIL at once. */
  readonly upstream: readonly string[];
}

export interface NameServer extends AsyncDisposable {
  /** The UDP port of each address, in order. */
  readonly ports: readonly number[];
}

export async function startNameServer(options: NameServerOptions): Promise<NameServer> {
  const { view } = options;
  const forwarder = new Forwarder(options.upstream);
  const udp: Bun.udp.Socket<"buffer">[] = [];
  const tcp: Bun.TCPSocketListener<{ received: Uint8Array }>[] = [];
  const close = () => {
    for (const socket of udp) socket.close();
    for (const listener of tcp) listener.stop(true);
    forwarder.close();
  };
  try {
    for (const hostname of options.addresses) {
      const socket = await Bun.udpSocket({
        hostname,
        port: options.port,
        socket: {
          data(own, request, port, address) {
            const made = reply(request, view, "udp");
            if (made.kind === "reply") own.send(made.bytes, port, address);
            else if (made.kind === "forward") {
              void forwarder.ask(request).then((bytes) => {
                if (!own.closed) own.send(bytes ?? made.failure, port, address);
              });
            }
          },
        },
      });
      udp.push(socket);
      tcp.push(
        Bun.listen<{ received: Uint8Array }>({
          hostname,
          port: socket.port,
          socket: {
            open(client) {
              client.data = { received: new Uint8Array() };
              client.timeout(TCP_IDLE_SECONDS);
            },
            data(client, chunk) {
              client.data.received = Buffer.concat([client.data.received, chunk]);
              for (;;) {
                const { received } = client.data;
                const length = received.length < 2 ? 0 : ((received[0] as number) << 8) | (received[1] as number);
                if (received.length < 2 || received.length < 2 + length) return;
                client.data.received = received.subarray(2 + length);
                const request = received.slice(2, 2 + length);
                const made = reply(request, view, "tcp");
                if (made.kind === "ignore") {
                  client.end();
                  return;
                }
                if (made.kind === "reply") client.write(framed(made.bytes));
                else void forwarder.ask(request).then((bytes) => void client.write(framed(bytes ?? made.failure)));
              }
            },
            timeout(client) {
              client.end();
            },
            error() {},
          },
        }),
      );
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    ports: udp.map((socket) => socket.port),
    async [Symbol.asyncDispose]() {
      close();
    },
  };
}

function framed(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
}

/** Passes questions on to the machine's resolvers, one after the other, with a socket of its own for each. */
class Forwarder {
  readonly #upstream: readonly string[];
  readonly #open = new Set<Bun.udp.Socket<"buffer">>();

  constructor(upstream: readonly string[]) {
    this.#upstream = upstream;
  }

  async ask(request: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.#open.size >= MAX_FORWARDS) return undefined;
    for (const server of this.#upstream) {
      const answer = await this.#askOne(server, request);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  async #askOne(server: string, request: Uint8Array): Promise<Uint8Array | undefined> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    let socket: Bun.udp.Socket<"buffer">;
    try {
      socket = await Bun.udpSocket({
        hostname: server.includes(":") ? "::" : "0.0.0.0",
        socket: {
          data(_own, bytes, port, address) {
            // Only the resolver that was asked, and only an answer to this very question.
            if (port === 53 && address === server && bytes[0] === request[0] && bytes[1] === request[1])
              resolve(new Uint8Array(bytes));
          },
          error: () => resolve(undefined),
        },
      });
    } catch {
      return undefined;
    }
    this.#open.add(socket);
    const timer = setTimeout(() => resolve(undefined), FORWARD_TIMEOUT);
    timer.unref();
    try {
      socket.send(request, 53, server);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#open.delete(socket);
      if (!socket.closed) socket.close();
    }
  }

  close(): void {
    for (const socket of this.#open) socket.close();
    this.#open.clear();
  }
}

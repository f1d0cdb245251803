/**
 * What h2spec is let loose on. It speaks HTTP/2 in plaintext or over TLS without a certificate of its own, and no port of the
 * mesh takes either, so a shim with a certificate of the mesh stands in between and passes bytes on.
 */
import { createServer, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Ip, PORTS } from "../../src/mesh/index.ts";
import { LoopbackMesh, makeAuthority } from "../../src/testkit/loopback-mesh.ts";
import { issueIdentity, type TlsIdentity } from "../../src/testkit/mesh-identity.ts";
import { TlsServer } from "../../src/testkit/tls-peer.ts";
import type { HeaderList, Http2Stream, StreamHandler } from "../../src/tunnel/index.ts";

const SHIM_ID = "spiffe://cluster.local/ns/test/sa/shim";
const LOCALHOST = "127.0.0.1";

/** Something to test, reached in plaintext at `127.0.0.1:port`. */
export interface Target extends AsyncDisposable {
  readonly port: number;
}

/** The server of tunnel/ over mutual TLS, with ordinary requests: each is answered by 200 and an echo of itself. */
export async function echoServer(): Promise<Target> {
  const authority = makeAuthority();
  const identity = issueIdentity(authority, "spiffe://cluster.local/ns/test/sa/echo");
  const server = new TlsServer(LOCALHOST, 0, identity, { serve: (stream, head) => new Echo(stream, head) });
  const shim = await Shim.start(LOCALHOST, server.port, issueIdentity(authority, SHIM_ID));
  return {
    port: shim.port,
    async [Symbol.asyncDispose]() {
      await shim.stop();
      server[Symbol.dispose]();
    },
  };
}

/** The port for tunnels of a whole sidecar, which takes nothing but CONNECT to its own pod. */
export async function tunnelPort(): Promise<Target> {
  const mesh = await LoopbackMesh.start();
  const pod = mesh.pod("server");
  await pod.start();
  const shim = await Shim.start(pod.ip, PORTS.hbone, issueIdentity(mesh.authority, SHIM_ID));
  return {
    port: shim.port,
    async [Symbol.asyncDispose]() {
      await shim.stop();
      await mesh.stop();
    },
  };
}

/** Plaintext on one side, mutual TLS with ALPN h2 on the other; ends of a connection are passed on as they come. */
class Shim {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(host: Ip | string, port: number, { cert, key, ca }: TlsIdentity): Promise<Shim> {
    const server = createServer({ allowHalfOpen: true }, (plain) => {
      // The shim's own peer is judged elsewhere: here a SPIFFE ID is no host name.
      const secure = connectTls({ host, port, cert, key, ca, ALPNProtocols: ["h2"], rejectUnauthorized: false });
      for (const [one, other] of [
        [plain, secure],
        [secure, plain],
      ] as const) {
        shim.#sockets.add(one);
        one.on("error", () => other.destroy());
        one.on("close", () => {
          shim.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    const shim = new Shim(server);
    await new Promise<void>((resolve) => server.listen(0, LOCALHOST, resolve));
    return shim;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the shim does not listen");
    return address.port;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers with the request's head as text, and then with whatever content it has. */
class Echo implements StreamHandler {
  readonly #stream: Http2Stream;
  #waiting: Uint8Array[] = [];
  #ended = false;

  constructor(stream: Http2Stream, head: HeaderList) {
    this.#stream = stream;
    stream.respond([
      [":status", "200"],
      ["content-type", "text/plain"],
    ]);
    this.#send(new TextEncoder().encode(head.map(([name, value]) => `${name}: ${value}\n`).join("")));
  }

  onHeaders(): void {}

  onData(stream: Http2Stream, chunk: Uint8Array): void {
    this.#send(chunk.slice());
    stream.consume(chunk.length);
  }

  onEnd(): void {
    this.#ended = true;
    this.#flush();
  }

  onReset(): void {
    this.#waiting = [];
  }

  onWritable(): void {
    this.#flush();
  }

  #send(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#flush();
  }

  #flush(): void {
    for (let bytes = this.#waiting[0]; bytes !== undefined; bytes = this.#waiting[0]) {
      const taken = this.#stream.write(bytes);
      if (taken < bytes.length) {
        this.#waiting[0] = bytes.subarray(taken);
        return;
      }
      this.#waiting.shift();
    }
    if (this.#ended && !this.#stream.localEnded) this.#stream.end();
  }
}

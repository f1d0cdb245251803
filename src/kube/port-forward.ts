/** A port on this machine's loopback that leads to a port of a pod, through the API server and the official library. */
import { createServer, type Server, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import type { PortForward } from "@kubernetes/client-node";
import type { Connection } from "./connection.ts";
import { KubeError } from "./errors.ts";

export interface PortForwardRequest {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  /** Port to listen on; 0 or none: any free one. */
  readonly localPort?: number;
  /** A connection that could not be forwarded; it is closed. */
  readonly onError?: (error: KubeError) => void;
}

/** Closing it ends what is forwarded. */
export interface ForwardedPort extends Disposable {
  readonly port: number;
}

/**
 * Throws `KubeError` when the port is taken. Whether the pod listens is seen by the first connection. The library knows no
 * back-pressure: meant for people and dashboards, not for bulk.
 */
export async function forwardPort(connection: Connection, request: PortForwardRequest): Promise<ForwardedPort> {
  const { PortForward } = await import("@kubernetes/client-node");
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    carry(connection, PortForward, request, socket).catch((error: unknown) => {
      socket.destroy();
      const failure = error instanceof KubeError ? error : cannot(request, error);
      request.onError?.(failure);
    });
  });
  const port = await listen(server, request);
  return {
    port,
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function carry(
  connection: Connection,
  Class: typeof PortForward,
  request: PortForwardRequest,
  socket: Socket,
): Promise<void> {
  const { namespace, pod, port } = request;
  // The kubelet says on the error stream why it could not connect, for instance that nothing listens.
  const complaints = new PassThrough();
  complaints.on("data", (chunk: Buffer) => {
    request.onError?.(cannot(request, chunk.toString().trim().slice(0, 400)));
    socket.destroy();
  });
  // Nothing is read from the socket before the tunnel is there.
  socket.pause();
  const forward = new Class(await connection.library());
  const tunnel = await forward.portForward(namespace, pod, [port], socket, complaints, socket);
  // With no retry the library answers the WebSocket itself.
  if (typeof tunnel === "function") throw cannot(request, "unexpected answer of the library");
  tunnel.onclose = () => socket.end();
  socket.on("close", () => tunnel.close());
  if (socket.destroyed) tunnel.close();
  socket.resume();
}

function listen(server: Server, request: PortForwardRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new KubeError("bad-request", `cannot listen on port ${request.localPort ?? 0} of this machine`, {
          cause,
          hint: "Choose another local port.",
          exitCode: 2,
        }),
      ),
    );
    server.listen(request.localPort ?? 0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}

function cannot({ namespace, pod, port }: PortForwardRequest, why: unknown): KubeError {
  const said = typeof why === "object" && why !== null && "message" in why ? String(why.message) : String(why);
  return new KubeError("unreachable", `cannot forward to port ${port} of ${namespace}/${pod}: ${said}`, {
    hint: "Check that the pod runs and listens on that port.",
  });
}

/**
 * The applications of the cluster's scenarios, one program with a role each, in the image tulle-test-apps. They know nothing
 * of a mesh. Runs in Bun, bundled into one file by images.sh.
 *
 *   server            one port a behaviour, see below; finishes its requests after SIGTERM
 *   load URL          asks again and again, and answers on loopback:7071 how often that failed
 *   first URL         asks once, at once; ends with 0 when it was answered
 *   idle              waits for its end
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";

const NAME = process.env["HOSTNAME"] ?? "nameless";

/**
 * 8080 HTTP: answers pod name, caller's address and body, `?ms=N` after N milliseconds; 8081 HTTP health; 8082 accepts and
 * closes; 8083 gRPC health; 9000 speaks first, then echoes; 9001 reads to the end, then answers length and hash; 5353 UDP
 * echo; 7070 on loopback alone.
 */
function serve(): void {
  let stopping = false;
  const http = createHttpServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const wait = Number(new URL(request.url ?? "/", "http://x").searchParams.get("ms") ?? 0);
      // Who stops says so, and the caller opens its next connection elsewhere.
      if (stopping) response.setHeader("connection", "close");
      setTimeout(() => response.end(`${NAME} ${request.socket.remoteAddress} ${body}\n`), wait);
    });
  });
  const health = createHttpServer((_request, response) => response.end("fine\n"));
  const banner = createServer((socket) => {
    socket.on("error", () => {});
    socket.write("220 banner ready\r\n");
    socket.pipe(socket);
  });
  const hash = createServer({ allowHalfOpen: true }, (socket) => {
    const sum = createHash("sha256");
    let size = 0;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      size += chunk.length;
      sum.update(chunk);
    });
    socket.on("end", () => socket.end(`${size} ${sum.digest("hex")}\n`));
  });
  listen(http, 8080, "::");
  listen(health, 8081, "::");
  listen(
    createServer((socket) => socket.end()),
    8082,
    "::",
  );
  listen(banner, 9000, "::");
  listen(hash, 9001, "::");
  listen(
    createServer((socket) => socket.end("loopback\n")),
    7070,
    "127.0.0.1",
  );
  serveGrpcHealth(8083);
  for (const [family, host] of [
    ["udp4", "0.0.0.0"],
    ["udp6", "::"],
  ] as const) {
    const socket = createSocket({ type: family, ipv6Only: true } as Parameters<typeof createSocket>[0]);
    socket.on("message", (data, from) => socket.send(data, from.port, from.address));
    socket.bind(5353, host);
  }
  // A considerate server: others hear of its end only after a while, so it goes on taking requests, then finishes them.
  process.once("SIGTERM", () => {
    stopping = true;
    const patience = Number(process.env["LAME_DUCK_MS"] ?? 3000);
    setTimeout(() => {
      http.close(() => process.exit(0));
      http.closeIdleConnections();
    }, patience);
  });
}

/** grpc.health.v1.Health/Check: always SERVING. */
function serveGrpcHealth(port: number): void {
  const server = new GrpcServer();
  const bytes = { serialize: (message: Buffer) => message, deserialize: (message: Buffer) => message };
  const check = {
    path: "/grpc.health.v1.Health/Check",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes.serialize,
    requestDeserialize: bytes.deserialize,
    responseSerialize: bytes.serialize,
    responseDeserialize: bytes.deserialize,
  };
  // HealthCheckResponse {status: SERVING}.
  const serving = Buffer.from([0x08, 0x01]);
  server.addService(
    { check },
    { check: (_call: unknown, answer: (error: null, bytes: Buffer) => void) => answer(null, serving) },
  );
  server.bindAsync(`[::]:${port}`, ServerCredentials.createInsecure(), (error) => {
    if (error !== null) throw error;
  });
}

interface Tally {
  ok: number;
  failed: number;
  /** The last failures, in words. */
  errors: string[];
  /** Answers by the server's name. */
  by: Record<string, number>;
}

/** Workers that ask one after the other, each request on a connection of its own. */
function load(url: string): void {
  const tally: Tally = { ok: 0, failed: 0, errors: [], by: {} };
  let stopping = false;
  const worker = async (): Promise<void> => {
    while (!stopping) {
      try {
        const response = await fetch(url, { keepalive: false, signal: AbortSignal.timeout(10_000) });
        const text = await response.text();
        if (response.status !== 200) throw new Error(`status ${response.status}: ${text.slice(0, 100)}`);
        const server = text.split(" ")[0] ?? "";
        tally.by[server] = (tally.by[server] ?? 0) + 1;
        tally.ok += 1;
      } catch (error) {
        tally.failed += 1;
        tally.errors = [...tally.errors, `${new Date().toISOString()} ${String(error)}`].slice(-20);
      }
      await Bun.sleep(Number(process.env["PAUSE_MS"] ?? 20));
    }
  };
  const workers = Array.from({ length: Number(process.env["WORKERS"] ?? 4) }, worker);
  createHttpServer((_request, response) => response.end(JSON.stringify(tally))).listen(7071, "127.0.0.1");
  process.once("SIGTERM", () => {
    stopping = true;
    void Promise.all(workers).then(() => {
      process.stdout.write(`${JSON.stringify(tally)}\n`);
      process.exit(tally.failed === 0 ? 0 : 1);
    });
  });
}

async function first(url: string): Promise<void> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    process.stdout.write(await response.text());
    process.exit(response.ok ? 0 : 1);
  } catch (error) {
    process.stdout.write(`${String(error)}\n`);
    process.exit(1);
  }
}

function listen(server: Server | HttpServer, port: number, host: string): void {
  server.listen({ port, host, ipv6Only: false, backlog: 1024 });
}

const [role, url = ""] = process.argv.slice(2);
if (role === "server") serve();
else if (role === "load") load(url);
else if (role === "first") await first(url);
else if (role === "idle") {
  process.once("SIGTERM", () => process.exit(0));
  setInterval(() => {}, 1 << 30);
} else {
  process.stderr.write("usage: app server | load URL | first URL | idle\n");
  process.exit(2);
}

/**
 * Measures the hot path: one client and one server in one process over an in-memory pipe, so a figure is the cost of
 * both ends together. `bun src/tunnel/connection.bench.ts [seconds]`
 *
 * - bulk: one stream, 64 KiB writes, consumed at once;
 * - small: 64 streams, 100-byte messages echoed, as requests and answers on kept connections are;
 * - streams: CONNECT, one message each way, both halves closed: a new connection of an application.
 */
import { type ByteTransport, Http2Connection, type Http2Stream, type StreamHandler } from "./index.ts";

const SECONDS = Number(process.argv[2] ?? 1);
const HEAD = [
  [":method", "CONNECT"],
  [":authority", "10.244.1.17:8080"],
  ["forwarded", 'for="10.244.2.9:41234"'],
  ["baggage", "k8s.cluster.name=local,k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web"],
  ["traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
] as const;
const OK = [[":status", "200"]] as const;

/** Delivers in the next turn what the peer wrote in this one. */
class Pipe implements ByteTransport {
  #to: Http2Connection | undefined;
  readonly #chunks: Uint8Array[] = [];
  writes = 0;
  bytes = 0;

  deliverTo(connection: Http2Connection): void {
    this.#to = connection;
  }

  write(bytes: Uint8Array): number {
    this.writes++;
    this.bytes += bytes.length;
    if (this.#chunks.length === 0) setImmediate(this.#deliver);
    this.#chunks.push(bytes.slice());
    return bytes.length;
  }

  readonly #deliver = (): void => {
    for (const chunk of this.#chunks.splice(0)) this.#to?.receive(chunk);
  };

  close(): void {}
  destroy(): void {}
  pauseReading(): void {}
  resumeReading(): void {}
}

function pair(server: (stream: Http2Stream) => StreamHandler): { client: Http2Connection; up: Pipe; down: Pipe } {
  const up = new Pipe();
  const down = new Pipe();
  const client = new Http2Connection({
    role: "client",
    transport: up,
    handler: { onStream: () => undefined, onClose: fail },
  });
  const serving = new Http2Connection({
    role: "server",
    transport: down,
    handler: {
      onStream(stream) {
        stream.respond(OK);
        return server(stream);
      },
      onClose: fail,
    },
  });
  up.deliverTo(serving);
  down.deliverTo(client);
  return { client, up, down };
}

function fail(error: Error | undefined): void {
  process.stderr.write(`the connection closed: ${error?.message}\n`);
}

const idle: StreamHandler = {
  onHeaders() {},
  onData(stream, chunk) {
    stream.consume(chunk.length);
  },
  onEnd() {},
  onReset() {},
  onWritable() {},
};

const echo: StreamHandler = {
  ...idle,
  onData(stream, chunk) {
    stream.write(chunk);
    stream.consume(chunk.length);
  },
  onEnd(stream) {
    stream.end();
  },
};

function report(name: string, pipes: { up: Pipe; down: Pipe }, seconds: number, count: number, unit: string): void {
  const bytes = pipes.up.bytes + pipes.down.bytes;
  const writes = pipes.up.writes + pipes.down.writes;
  const rate = (amount: number) => Math.round(amount / seconds).toLocaleString("en");
  process.stdout.write(
    `${name}: ${rate(count)} ${unit}/s, ${(bytes / seconds / 1e6).toFixed(0)} MB/s, ` +
      `${((seconds / count) * 1e6).toFixed(2)} us each, ${(bytes / writes).toFixed(0)} bytes a write\n`,
  );
}

async function bulk(): Promise<void> {
  let received = 0;
  const { client, up, down } = pair(() => ({
    ...idle,
    onData(stream, chunk) {
      received += chunk.length;
      stream.consume(chunk.length);
    },
  }));
  const chunk = new Uint8Array(64 * 1024).fill(7);
  let stop = false;
  const pump = (stream: Http2Stream): void => {
    while (!stop && stream.write(chunk) === chunk.length);
  };
  const stream = client.request(HEAD, { ...idle, onWritable: pump });
  const start = performance.now();
  pump(stream);
  await Bun.sleep(SECONDS * 1000);
  stop = true;
  report("bulk   ", { up, down }, (performance.now() - start) / 1000, received / 16_384, "frames of 16 KiB");
}

async function small(): Promise<void> {
  const { client, up, down } = pair(() => echo);
  const message = new Uint8Array(100).fill(7);
  let echoed = 0;
  let stop = false;
  const start = performance.now();
  for (let i = 0; i < 64; i++) {
    const stream = client.request(HEAD, {
      ...idle,
      onData(self, chunk) {
        echoed++;
        self.consume(chunk.length);
        if (!stop) self.write(message);
      },
    });
    stream.write(message);
  }
  await Bun.sleep(SECONDS * 1000);
  stop = true;
  report("small  ", { up, down }, (performance.now() - start) / 1000, echoed * 2, "frames of 100 B");
}

async function streams(): Promise<void> {
  const { client, up, down } = pair(() => echo);
  const message = new Uint8Array(100).fill(7);
  let finished = 0;
  let stop = false;
  const handler: StreamHandler = {
    ...idle,
    onEnd() {
      finished++;
      if (!stop) open();
    },
  };
  const open = (): void => {
    const stream = client.request(HEAD, handler);
    stream.write(message);
    stream.end();
  };
  const start = performance.now();
  for (let i = 0; i < 64; i++) open();
  await Bun.sleep(SECONDS * 1000);
  stop = true;
  report("streams", { up, down }, (performance.now() - start) / 1000, finished, "streams");
}

await bulk();
await small();
await streams();

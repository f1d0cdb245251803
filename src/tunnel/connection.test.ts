/** Our client and our server over one transport: what goes in at one end comes out at the other, however it is cut. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type MemoryTransport, type MemoryTransportOptions, memoryTransportPair } from "../testkit/memory-transport.ts";
import {
  DEFAULT_SETTINGS,
  ERROR_CODES,
  type HeaderList,
  Http2Connection,
  type Http2Stream,
  type StreamHandler,
} from "./index.ts";

const CONNECT: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.9:80"],
];
const POST: HeaderList = [
  [":method", "POST"],
  [":scheme", "https"],
  [":path", "/tulle.v1.Reports/Push"],
  [":authority", "operator"],
];
const OK: HeaderList = [[":status", "200"]];

/** Writes everything, waiting for room, and ends; keeps what came. */
class Sender implements StreamHandler {
  readonly #body: Uint8Array;
  readonly #trailers: HeaderList | undefined;
  #at = 0;
  readonly got: Buffer[] = [];
  head: HeaderList | undefined;
  trailers: HeaderList | undefined;
  end = Promise.withResolvers<"end" | `reset ${number}`>();

  constructor(body: Uint8Array, trailers?: HeaderList) {
    this.#body = body;
    this.#trailers = trailers;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.got);
  }

  pump(stream: Http2Stream): void {
    while (this.#at < this.#body.length) {
      const taken = stream.write(this.#body.subarray(this.#at));
      this.#at += taken;
      if (taken === 0 || this.#at < this.#body.length) return;
    }
    if (!stream.localEnded && !stream.closed) stream.end(this.#trailers);
  }

  onHeaders(_stream: Http2Stream, headers: HeaderList): void {
    this.head = headers;
  }
  onTrailers(_stream: Http2Stream, headers: HeaderList): void {
    this.trailers = headers;
  }
  onData(stream: Http2Stream, chunk: Uint8Array): void {
    this.got.push(Buffer.from(chunk));
    stream.consume(chunk.length);
  }
  onEnd(): void {
    this.end.resolve("end");
  }
  onReset(_stream: Http2Stream, code: number): void {
    this.end.resolve(`reset ${code}`);
  }
  onWritable(stream: Http2Stream): void {
    this.pump(stream);
  }
}

interface Pair {
  readonly client: Http2Connection;
  readonly server: Http2Connection;
  readonly up: MemoryTransport;
  readonly ready: Promise<void>;
  readonly closed: Promise<unknown[]>;
}

function pair(
  serve: (stream: Http2Stream, headers: HeaderList) => StreamHandler,
  options: MemoryTransportOptions = {},
): Pair {
  const [up, down] = memoryTransportPair(options);
  const ready = Promise.withResolvers<void>();
  const over = [Promise.withResolvers<unknown>(), Promise.withResolvers<unknown>()] as const;
  const client = new Http2Connection({
    role: "client",
    transport: up,
    handler: { onStream: () => undefined, onReady: () => ready.resolve(), onClose: over[0].resolve },
  });
  const server = new Http2Connection({
    role: "server",
    transport: down,
    settings: { maxConcurrentStreams: 2000 },
    handler: { onStream: (stream, headers) => serve(stream, headers), onClose: over[1].resolve },
  });
  up.attach(client);
  down.attach(server);
  return { client, server, up, ready: ready.promise, closed: Promise.all(over.map((one) => one.promise)) };
}

const pattern = (length: number, seed: number) => Buffer.alloc(length).map((_, i) => (i * 31 + seed) & 0xff);

describe("a CONNECT tunnel", () => {
  test.each([
    ["few bytes, cut to pieces", 400, 1],
    ["many bytes, more than the windows hold", 6_000_000, 9_000],
  ])("carries any bytes both ways at once: %s (property)", async (_what, most, leastPiece) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(most), fc.nat(most)), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: leastPiece, max: 70_000 }),
        fc.integer({ min: leastPiece, max: 70_000 }),
        async (streams, take, cut) => {
          const served: Sender[] = [];
          const { client, ready } = pair(
            (stream, headers) => {
              const answer = new Sender(pattern(Number(new Map(headers).get("x-answer")), 7));
              served.push(answer);
              stream.respond(OK);
              answer.pump(stream);
              return answer;
            },
            { take: () => take, cut: () => cut },
          );
          await ready;
          const sent = streams.map(([up, down], index) => {
            const sender = new Sender(pattern(up, index));
            sender.pump(client.request([...CONNECT, ["x-answer", `${down}`]], sender));
            return sender;
          });
          for (const [index, sender] of sent.entries()) {
            expect(await sender.end.promise).toBe("end");
            expect(sender.bytes.equals(pattern(streams[index]?.[1] ?? 0, 7))).toBe(true);
          }
          for (const answer of served) await answer.end.promise;
          const lengths = served.map((one) => one.bytes.length).sort((a, b) => a - b);
          expect(lengths).toEqual(streams.map(([up]) => up).sort((a, b) => a - b));
          expect(client.openStreams).toBe(0);
        },
      ),
      { numRuns: most > 1000 ? 4 : 100 },
    );
  });

  test("is half-closed by each side on its own (RFC 9113 §8.5)", async () => {
    const served = new Sender(Buffer.from("late"));
    let serving: Http2Stream | undefined;
    const { client, ready } = pair((stream) => {
      serving = stream;
      stream.respond(OK);
      return served;
    });
    await ready;
    const sender = new Sender(Buffer.from("all of it"));
    sender.pump(client.request(CONNECT, sender));
    await served.end.promise;
    expect(served.bytes.toString()).toBe("all of it");
    if (serving !== undefined) served.pump(serving);
    expect(await sender.end.promise).toBe("end");
    expect(sender.bytes.toString()).toBe("late");
  });

  test("is reset by either side with its code, and its neighbours go on", async () => {
    const served: Sender[] = [];
    const streams: Http2Stream[] = [];
    const { client, ready } = pair((stream) => {
      const answer = new Sender(Buffer.from("x"));
      served.push(answer);
      streams.push(stream);
      stream.respond(OK);
      return answer;
    });
    await ready;
    const [first, second, third] = [0, 1, 2].map(() => new Sender(Buffer.alloc(0))) as [Sender, Sender, Sender];
    const opened = [first, second, third].map((one) => client.request(CONNECT, one));
    await Bun.sleep(5);
    opened[0]?.reset(ERROR_CODES.CONNECT_ERROR);
    streams[1]?.reset(ERROR_CODES.CANCEL);
    expect(await served[0]?.end.promise).toBe(`reset ${ERROR_CODES.CONNECT_ERROR}`);
    expect(await second.end.promise).toBe(`reset ${ERROR_CODES.CANCEL}`);
    if (streams[2] !== undefined) served[2]?.pump(streams[2]);
    expect(await third.end.promise).toBe("end");
    expect(third.bytes.toString()).toBe("x");
  });
});

test("an ordinary request gets head, content and trailers, as gRPC has them", async () => {
  const { client, ready } = pair((stream, headers) => {
    expect(headers.slice(0, 4)).toEqual([...POST]);
    const answer = new Sender(Buffer.alloc(200_000, "b"), [["grpc-status", "0"]]);
    stream.respond([...OK, ["content-type", "application/grpc"]]);
    answer.pump(stream);
    return answer;
  });
  await ready;
  const sender = new Sender(Buffer.alloc(150_000, "a"));
  sender.pump(client.request([...POST, ["te", "trailers"]], sender));
  expect(await sender.end.promise).toBe("end");
  expect(sender.head).toEqual([
    [":status", "200"],
    ["content-type", "application/grpc"],
  ]);
  expect(sender.bytes.length).toBe(200_000);
  expect(sender.trailers).toEqual([["grpc-status", "0"]]);
});

test("1,000 streams at a time share one connection", async () => {
  const { client, ready } = pair((stream) => {
    const echo = new Sender(Buffer.from("pong"));
    stream.respond(OK);
    echo.pump(stream);
    return echo;
  });
  await ready;
  const senders = Array.from({ length: 1000 }, () => new Sender(Buffer.from("ping")));
  for (const sender of senders) {
    expect(client.canOpen).toBe(true);
    sender.pump(client.request(CONNECT, sender));
  }
  for (const sender of senders) {
    expect(await sender.end.promise).toBe("end");
    expect(sender.bytes.toString()).toBe("pong");
  }
});

test("what is written in one turn leaves in one write", async () => {
  const { client, up, ready } = pair((stream) => {
    stream.respond(OK);
    return new Sender(Buffer.alloc(0));
  });
  await ready;
  await Bun.sleep(5);
  const before = up.writes;
  for (let i = 0; i < 50; i++) {
    const sender = new Sender(Buffer.from(`message ${i}`));
    sender.pump(client.request(CONNECT, sender));
  }
  await Bun.sleep(5);
  expect(up.writes - before).toBe(1);
});

test("a reader that consumes nothing stops its own stream and no other", async () => {
  const greedy: StreamHandler = { onHeaders() {}, onData() {}, onEnd() {}, onReset() {}, onWritable() {} };
  let slowBytes = 0;
  const { client, ready } = pair((stream, headers) => {
    stream.respond(OK);
    if (new Map(headers).has("x-slow"))
      return {
        ...greedy,
        onData: (_: Http2Stream, chunk: Uint8Array) => {
          slowBytes += chunk.length;
        },
      };
    const answer = new Sender(Buffer.alloc(0));
    answer.pump(stream);
    return answer;
  });
  await ready;
  const slow = new Sender(Buffer.alloc(8_000_000));
  slow.pump(client.request([...CONNECT, ["x-slow", "1"]], slow));
  const quick = new Sender(Buffer.alloc(8_000_000));
  quick.pump(client.request(CONNECT, quick));
  expect(await quick.end.promise).toBe("end");
  expect(slowBytes).toBeGreaterThan(0);
  expect(slowBytes).toBeLessThanOrEqual(DEFAULT_SETTINGS.streamWindow);
});

test("goAway lets open streams end, then closes both ends; a lost transport resets them", async () => {
  const served = new Sender(Buffer.from("bye"));
  let serving: Http2Stream | undefined;
  const graceful = pair((stream) => {
    serving = stream;
    stream.respond(OK);
    return served;
  });
  await graceful.ready;
  const sender = new Sender(Buffer.from("hi"));
  sender.pump(graceful.client.request(CONNECT, sender));
  await served.end.promise;
  graceful.server.goAway();
  while (graceful.client.canOpen) await Bun.sleep(1);
  if (serving !== undefined) served.pump(serving);
  expect(await sender.end.promise).toBe("end");
  expect(await graceful.closed).toEqual([undefined, undefined]);

  const cut = pair((stream) => {
    stream.respond(OK);
    return new Sender(Buffer.alloc(0));
  });
  await cut.ready;
  const lost = new Sender(Buffer.alloc(0));
  cut.client.request(CONNECT, lost);
  await Bun.sleep(5);
  cut.up.destroy();
  expect(await lost.end.promise).toBe(`reset ${ERROR_CODES.CANCEL}`);
});

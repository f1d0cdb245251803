import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { type Ip, PORTS, parseIp, REASON_HEADER, type Reason } from "../mesh/index.ts";
import { isBalanced } from "../testkit/accounts.ts";
import { service, workload } from "../testkit/addresses.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { FakeOriginalDestination, loopbackAddress, loopbackPod } from "../testkit/fake-original-destination.ts";
import { frames } from "../testkit/http2-peer.ts";
import { dialTo, drained, eventually, makeAuthority } from "../testkit/loopback-mesh.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { issueIdentity } from "../testkit/mesh-identity.ts";
import { SeededRandom } from "../testkit/seeded-random.ts";
import { SILENT, TlsServer } from "../testkit/tls-peer.ts";
import { ERROR_CODES, type HeaderList, type Http2Stream } from "../tunnel/index.ts";
import { AccessLog } from "./access-log.ts";
import { EdgeTable } from "./edges.ts";
import { Metrics } from "./metrics.ts";
import { OutboundListener } from "./outbound.ts";
import { TunnelPool } from "./pool.ts";
import { Ranges } from "./ranges.ts";
import { Resolver } from "./resolver.ts";

const authority = makeAuthority();
const own = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/client");
const peerIdentity = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/server");
const EXTERNAL = loopbackAddress();

let clock: FakeClock;
let logger: MemoryLogger;
let metrics: Metrics;
let redirects: FakeOriginalDestination;
let pod: Ip;
let isLoopback: (ip: Ip) => boolean;
let resolver: Resolver;
let pool: TunnelPool;
let listener: OutboundListener;
/** The peer's end of the tunnel, and what it does with a request. */
let server: TlsServer;
let serve: (stream: Http2Stream, headers: HeaderList) => void;
let target: Ip;

beforeEach(() => start(loopbackAddress(), loopbackAddress()));

function start(podIp: Ip, targetIp: Ip): void {
  clock = new FakeClock();
  logger = new MemoryLogger();
  metrics = new Metrics();
  redirects = new FakeOriginalDestination();
  pod = podIp;
  target = targetIp;
  isLoopback = () => false;
  serve = (stream) => {
    stream.respond([[":status", "200"]]);
    stream.end();
  };
  server = new TlsServer(target, 0, peerIdentity, {
    serve: (stream, headers) => {
      serve(stream, headers);
      return SILENT;
    },
  });
  resolver = new Resolver(clock, new SeededRandom(), {
    session: 1,
    subscribe: () => undefined,
    unsubscribe: () => undefined,
  });
  resolver.setRanges(new Ranges({ podRanges: [podIp.includes(":") ? "::1/128" : "127.64.0.0/10"], serviceRanges: [] }));
  const known = workload("server", [target]);
  resolver.book.set(known.uid, "1", { kind: "workload", workload: known });
  pool = new TunnelPool({ id: own.id, credentials: { current: () => own }, clock, metrics, hbonePort: server.port });
  listener = new OutboundListener({
    network: { ...loopbackPod(pod, redirects), isLoopback: (ip) => isLoopback(ip) },
    resolver,
    pool,
    clock,
    metrics,
    accessLog: new AccessLog(metrics, logger, clock, new EdgeTable(clock)),
  });
}

afterEach(async () => {
  await eventually(() => isBalanced(metrics), "the accounts are balanced");
  const entry = resolver.book.at(target);
  expect(entry?.kind === "workload" && entry.known.load.active).toBe(0);
  listener[Symbol.dispose]();
  pool[Symbol.dispose]();
  server[Symbol.dispose]();
  expect(clock.pending).toBe(0);
});

function dial(ip: Ip | undefined, port = 80): Socket {
  redirects.set(PORTS.outbound, ip === undefined ? undefined : { ip, port });
  return dialTo(pod, PORTS.outbound);
}

/** The application sees a reset, and the one line of the log says why. */
async function refused(socket: Socket, reason: Reason, detail: string | RegExp): Promise<void> {
  socket.end("secret");
  expect(await drained(socket)).toEqual({ bytes: Buffer.alloc(0), end: "ECONNRESET" });
  const { fields } = await logger.nth("connection", 1);
  expect(fields).toMatchObject({ direction: "outbound", reason });
  expect(String(fields["detail"])).toMatch(detail);
  expect(metrics.of("outbound", reason)).toBe(1);
}

describe("is refused with a reset, never with an empty success:", () => {
  test("a connection that nobody redirected", () =>
    refused(dial(undefined), "refused-own-port", "the connection was not redirected"));

  test("a connection to loopback", async () => {
    isLoopback = () => true;
    await refused(dial(target), "refused-own-port", "the destination is loopback");
  });

  test.each([PORTS.outbound, PORTS.inboundPlaintext, PORTS.hbone, PORTS.metrics, PORTS.readiness])(
    "a connection to the proxy's own port %d: it would go round in circles",
    (port) => refused(dial(pod, port), "refused-own-port", "the destination is this proxy"),
  );

  test("an address in a pod range of which discovery says nothing within 5 s", async () => {
    const socket = dial(loopbackAddress());
    await eventually(() => clock.pending > 0, "it waits");
    clock.advance(5_000);
    await refused(socket, "failed-discovery", "discovery did not answer");
  });

  test("a service without an endpoint", async () => {
    const vip = loopbackAddress();
    resolver.book.set("web", "1", { kind: "service", service: service("web", [vip]) });
    await refused(dial(vip), "failed-no-endpoint", "no endpoint of web.shop.svc.cluster.local takes connections");
  });

  test("a peer where nobody listens", async () => {
    server[Symbol.dispose]();
    await refused(dial(target), "failed-connect", "ECONNREFUSED");
  });

  test("a destination outside the mesh where nobody listens", async () => {
    resolver.setRanges(new Ranges({ podRanges: [], serviceRanges: [] }));
    const socket = dial(EXTERNAL, 9);
    await eventually(() => clock.pending > 0, "it waits");
    clock.advance(1_000);
    await refused(socket, "failed-connect", "ECONNREFUSED");
  });

  test("a peer that does not answer CONNECT within 15 s", async () => {
    const asked = Promise.withResolvers<void>();
    serve = () => asked.resolve();
    const socket = dial(target);
    await asked.promise;
    clock.advance(9_000);
    clock.advance(6_000);
    await refused(socket, "failed-connect", "the peer did not answer CONNECT");
  });
});

describe("the peer's refusal", () => {
  const cases: [string, HeaderList, Reason, string][] = [
    [
      "401 with a word of the list",
      [
        [":status", "401"],
        [REASON_HEADER, "refused-revoked"],
      ],
      "refused-revoked",
      "said by the peer",
    ],
    [
      "503 with a word of the list",
      [
        [":status", "503"],
        [REASON_HEADER, "refused-own-port"],
      ],
      "refused-own-port",
      "said by the peer",
    ],
    ["401 without a word", [[":status", "401"]], "refused-policy", "the peer answered 401"],
    [
      "401 with an unknown word",
      [
        [":status", "401"],
        [REASON_HEADER, "evil words"],
      ],
      "refused-policy",
      "the peer answered 401",
    ],
    [
      "503 with an unknown word",
      [
        [":status", "503"],
        [REASON_HEADER, "made-up"],
      ],
      "failed-connect",
      "the peer answered 503",
    ],
    [
      "503 with a word that only objects have",
      [
        [":status", "503"],
        [REASON_HEADER, "toString"],
      ],
      "failed-connect",
      "the peer answered 503",
    ],
    [
      "500 with a word, which is not believed there",
      [
        [":status", "500"],
        [REASON_HEADER, "refused-policy"],
      ],
      "failed-connect",
      "the peer answered 500",
    ],
    ["204, which is no 200", [[":status", "204"]], "failed-connect", "the peer answered 204"],
  ];
  test.each(cases)("%s", async (_name, headers, reason, detail) => {
    serve = (stream) => stream.respond(headers, true);
    await refused(dial(target), reason, detail);
  });

  test("is never a success, whatever word it carries", async () => {
    serve = (stream) =>
      stream.respond(
        [
          [":status", "503"],
          [REASON_HEADER, "mtls"],
        ],
        true,
      );
    await refused(dial(target), "failed-connect", "the peer answered 503");
  });
});

describe("a stream that the peer refuses before anything was sent", () => {
  test("is tried again", async () => {
    let asked = 0;
    serve = (stream) => {
      asked++;
      if (asked < 3) stream.reset(ERROR_CODES.REFUSED_STREAM);
      else {
        stream.respond([[":status", "200"]]);
        stream.end();
      }
    };
    const socket = dial(target);
    socket.end();
    expect((await drained(socket)).end).toBe("fin");
    expect(asked).toBe(3);
  });

  test("is not tried for ever", async () => {
    let asked = 0;
    serve = (stream) => {
      asked++;
      stream.reset(ERROR_CODES.REFUSED_STREAM);
    };
    await refused(dial(target), "failed-connect", "the peer reset the stream with code 7");
    expect(asked).toBe(3);
  });
});

describe("a client that gives up", () => {
  async function givesUp(socket: Socket, waits: () => boolean): Promise<void> {
    socket.on("error", () => undefined);
    await eventually(waits, "it waits");
    socket.resetAndDestroy();
    const { fields } = await logger.nth("connection", 1);
    expect(fields).toMatchObject({ reason: "failed-connect", detail: "the client closed first" });
  }

  test("while discovery is asked leaves no wait behind", async () => {
    await givesUp(dial(loopbackAddress()), () => clock.pending === 1);
    expect(clock.pending).toBe(0);
  });

  test("while the peer is asked resets the stream there", async () => {
    const reset = Promise.withResolvers<Http2Stream>();
    serve = reset.resolve;
    const socket = dial(target);
    const stream = await reset.promise;
    await givesUp(socket, () => true);
    await eventually(() => stream.closed, "the stream is reset");
  });

  test("while the tunnel is dialled opens no stream", async () => {
    const { port } = server;
    server[Symbol.dispose]();
    server = new TlsServer(target, port, peerIdentity, { mute: true });
    const socket = dial(target);
    const peer = await server.nth(1);
    await givesUp(socket, () => true);
    peer.write(frames.settings());
    await eventually(() => pool.size === 1, "the tunnel is up");
    expect(metrics.outbound.handshakes).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(frameTypes(Buffer.concat(peer.bytes))).not.toContain(HEADERS);
  });
});

const HEADERS = 1;

/** The types of the frames behind the client's preface (RFC 9113 §4.1). */
function frameTypes(bytes: Buffer): number[] {
  const types: number[] = [];
  for (let at = 24; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes[at + 3] ?? -1);
  return types;
}

describe("a peer that has said all and reads no more (RFC 9113 §8.1)", () => {
  const answer = Buffer.alloc(256 * 1024, 0x61);

  beforeEach(() => {
    serve = (stream) => {
      stream.respond([[":status", "200"]]);
      const rest = answer.subarray(stream.write(answer));
      const finish = (left: Buffer) => {
        const after = left.subarray(stream.write(left));
        if (after.length > 0) return setImmediate(finish, after);
        stream.end();
        stream.reset(ERROR_CODES.NO_ERROR);
      };
      setImmediate(finish, rest);
    };
  });

  test("is heard to the end, and the client may end later", async () => {
    const socket = dial(target);
    socket.write("question");
    const { bytes, end } = await drained(socket);
    expect([bytes.length, end]).toEqual([answer.length, "fin"]);
    expect(metrics.outbound.closed).toBe(0);
    socket.end();
  });

  test("resets a client that goes on sending, and keeps no socket", async () => {
    const socket = dial(target);
    const errors = new Promise<string>((resolve) =>
      socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "")),
    );
    expect((await drained(socket)).end).toBe("fin");
    const writing = setInterval(() => socket.write("more"), 5);
    expect(await errors).toMatch(/^(ECONNRESET|EPIPE)$/);
    clearInterval(writing);
  });
});

test("CONNECT names the address and the port of the destination, and nothing else", async () => {
  const seen = Promise.withResolvers<HeaderList>();
  serve = (stream, headers) => {
    seen.resolve(headers);
    stream.respond([[":status", "200"]]);
    stream.end();
  };
  const socket = dial(target, 8080);
  socket.end();
  await drained(socket);
  expect(await seen.promise).toEqual([
    [":method", "CONNECT"],
    [":authority", `${target}:8080`],
  ]);
  expect(logger.of("connection")[0]?.fields).toMatchObject({ reason: "mtls", peer: peerIdentity.id });
});

test("over IPv6 the authority has brackets", async () => {
  listener[Symbol.dispose]();
  pool[Symbol.dispose]();
  server[Symbol.dispose]();
  const v6 = parseIp("::1");
  if (v6 === undefined) throw new Error("no address");
  start(v6, v6);
  const seen = Promise.withResolvers<HeaderList>();
  serve = (stream, headers) => {
    seen.resolve(headers);
    stream.respond([[":status", "200"]]);
    stream.end();
  };
  const socket = dial(v6, 8080);
  socket.end();
  expect((await drained(socket)).end).toBe("fin");
  expect((await seen.promise)[1]).toEqual([":authority", "[::1]:8080"]);
});

test("disposed, it resets what is open", async () => {
  serve = (stream) => stream.respond([[":status", "200"]]);
  const socket = dial(target);
  const end = drained(socket);
  await logger.nth("connection", 1);
  listener[Symbol.dispose]();
  expect((await end).end).toBe("ECONNRESET");
  expect(metrics.of("outbound", "mtls")).toBe(1);
});

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { type Ip, parseIp, type Reason } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { loopbackAddress } from "../testkit/fake-original-destination.ts";
import { frames } from "../testkit/http2-peer.ts";
import { eventually, makeAuthority } from "../testkit/loopback-mesh.ts";
import { issueIdentity } from "../testkit/mesh-identity.ts";
import { SILENT, type TlsPeerOptions, TlsServer } from "../testkit/tls-peer.ts";
import type { Http2Connection, Http2Stream } from "../tunnel/index.ts";
import { Metrics } from "./metrics.ts";
import { type StreamWaiter, TUNNELS_PER_PEER, TunnelPool, WAITING_LIMIT } from "./pool.ts";

const authority = makeAuthority();
const own = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/client");
const peer = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/server");

let clock: FakeClock;
let metrics: Metrics;
let ip: Ip;
let hasCertificate: boolean;
let pool: TunnelPool;
let server: TlsServer | undefined;

beforeEach(() => {
  clock = new FakeClock();
  metrics = new Metrics();
  ip = loopbackAddress();
  hasCertificate = true;
  server = undefined;
});
afterEach(async () => {
  pool[Symbol.dispose]();
  server?.[Symbol.dispose]();
  // A socket that we closed is given up when its peer has closed it too.
  await eventually(() => clock.pending === 0, "no timer is left");
  expect(pool.size).toBe(0);
});

/** The pool dials a test's server. */
function serve(options: TlsPeerOptions = {}): TlsServer {
  // A request is taken and not answered.
  server = new TlsServer(ip, 0, peer, { serve: () => SILENT, ...options });
  makePool(server.port);
  return server;
}

function makePool(hbonePort: number): void {
  pool = new TunnelPool({
    id: own.id,
    credentials: { current: () => (hasCertificate ? own : undefined) },
    clock,
    metrics,
    hbonePort,
  });
}

type Outcome = { readonly stream: Http2Stream } | { readonly reason: Reason; readonly detail: string };

/** Opens a stream; `onReset` is told when it is over. */
class Waiter implements StreamWaiter {
  readonly outcome = Promise.withResolvers<Outcome>();
  connection: Http2Connection | undefined;
  calls = 0;

  onTunnel(connection: Http2Connection): void {
    this.calls++;
    this.connection = connection;
    const stream = connection.request(
      [
        [":method", "CONNECT"],
        [":authority", `${ip}:80`],
      ],
      SILENT,
    );
    this.outcome.resolve({ stream });
  }

  onNoTunnel(reason: Reason, detail: string): void {
    this.calls++;
    this.outcome.resolve({ reason, detail });
  }
}

function acquire(to: { id?: typeof peer.id; at?: Ip } = {}): Waiter {
  const waiter = new Waiter();
  pool.acquire(to.id ?? peer.id, to.at ?? ip, waiter);
  return waiter;
}

async function open(): Promise<{ stream: Http2Stream; connection: Http2Connection | undefined }> {
  const waiter = acquire();
  const outcome = await waiter.outcome.promise;
  if (!("stream" in outcome)) throw new Error(outcome.detail);
  return { stream: outcome.stream, connection: waiter.connection };
}

async function refused(waiter: Waiter): Promise<{ reason: Reason; detail: string }> {
  const outcome = await waiter.outcome.promise;
  if ("stream" in outcome) throw new Error("a stream was opened");
  return outcome;
}

describe("one tunnel", () => {
  test("62: serves 1,000 who come at once: one dial", async () => {
    const at = serve({ settings: { maxConcurrentStreams: 4096 } });
    const waiters = Array.from({ length: 1000 }, () => acquire());
    await Promise.all(waiters.map((waiter) => waiter.outcome.promise));
    expect(new Set(waiters.map((waiter) => waiter.connection)).size).toBe(1);
    expect(at.peers).toHaveLength(1);
    expect(pool.size).toBe(1);
    expect(metrics.outbound).toMatchObject({ handshakes: 1, handshakesFailed: 0 });
  });

  test("64: is for one identity at one address: another of either gets another one, or none", async () => {
    const at = serve();
    await open();
    const other = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/other").id;
    expect(await refused(acquire({ id: other }))).toMatchObject({ reason: "refused-identity-mismatch" });
    const elsewhere = loopbackAddress();
    using second = new TlsServer(elsewhere, at.port, peer, { serve: () => SILENT });
    expect(await acquire({ at: elsewhere }).outcome.promise).toHaveProperty("stream");
    expect([at.peers.length, second.peers.length]).toEqual([2, 1]);
  });

  test("68: closes when it was not used for 5 minutes, not sooner, and the next stream gets a new one", async () => {
    const at = serve();
    const { stream } = await open();
    stream.reset(8);
    clock.advance(5 * 60_000 - 1);
    expect(pool.size).toBe(1);
    clock.advance(30_000);
    expect(pool.size).toBe(0);
    await at.peers[0]?.closed.promise;
    await open();
    expect(at.peers).toHaveLength(2);
  });

  test("70: whose peer vanished without a word is given up by a ping, and its streams with it", async () => {
    const at = serve({ mute: true });
    const opening = open();
    (await at.nth(1)).write(frames.settings());
    const { stream } = await opening;
    clock.advance(10_000);
    expect(stream.closed).toBe(false);
    clock.advance(10_000);
    expect(stream.closed).toBe(true);
    expect(pool.size).toBe(0);
  });
});

describe("the next tunnel", () => {
  test("63: is dialled at the peer's stream limit, and the first one is used again when it has room", async () => {
    const at = serve({ settings: { maxConcurrentStreams: 2 } });
    const [a, b] = [await open(), await open()];
    expect(b.connection).toBe(a.connection as never);
    const c = await open();
    expect(c.connection).not.toBe(a.connection as never);
    expect(pool.size).toBe(2);
    a.stream.reset(8);
    expect((await open()).connection).toBe(a.connection as never);
    expect(at.peers).toHaveLength(2);
  });

  test("69: is dialled after GOAWAY, and the streams of the first one go on", async () => {
    const at = serve();
    const first = await open();
    at.peers[0]?.connection.goAway();
    await eventually(() => pool.size === 0, "the first tunnel takes no new streams");
    const second = await open();
    expect(second.connection).not.toBe(first.connection as never);
    expect(first.stream.closed).toBe(false);
    first.stream.reset(8);
    await at.peers[0]?.closed.promise;
    expect(pool.size).toBe(1);
  });

  test("serves those who waited at the limit when the first one breaks", async () => {
    const at = serve({ settings: { maxConcurrentStreams: 1 } });
    await open();
    const waiting = acquire();
    at.peers[0]?.destroy();
    expect(await waiting.outcome.promise).toHaveProperty("stream");
  });

  test("is not dialled without end: a peer that takes no streams at all is refused", async () => {
    const at = serve({ settings: { maxConcurrentStreams: 0 } });
    const waiters = Array.from({ length: 10 }, () => acquire());
    for (const waiter of waiters) {
      expect(await refused(waiter)).toEqual({ reason: "failed-overload", detail: "the peer takes no streams" });
    }
    expect(at.peers).toHaveLength(1);
  });

  test("is not dialled above a number of tunnels to one peer", async () => {
    const at = serve({ settings: { maxConcurrentStreams: 1 } });
    for (let opened = 0; opened < TUNNELS_PER_PEER; opened++) await open();
    expect(await refused(acquire())).toEqual({ reason: "failed-overload", detail: "the peer's tunnels are full" });
    expect(at.peers).toHaveLength(TUNNELS_PER_PEER);
  });
});

describe("no tunnel", () => {
  test("without a certificate of our own", async () => {
    serve();
    hasCertificate = false;
    expect(await refused(acquire())).toEqual({
      reason: "failed-no-certificate",
      detail: "this proxy has no valid certificate",
    });
  });

  test("to a port where nobody listens, told to all who wait, and the next one dials anew", async () => {
    const at = serve();
    at[Symbol.dispose]();
    const waiters = [acquire(), acquire()];
    for (const waiter of waiters)
      expect(await refused(waiter)).toEqual({ reason: "failed-connect", detail: "ECONNREFUSED" });
    expect(metrics.outbound.handshakesFailed).toBe(1);
    expect(await refused(acquire())).toMatchObject({ reason: "failed-connect" });
    expect(metrics.outbound.handshakesFailed).toBe(2);
  });

  test.each([
    ["takes the connection and says nothing", false, "no handshake within 10 s"],
    ["says nothing after the handshake", true, "no HTTP/2 within 10 s"],
  ])("when the peer %s for 10 s", async (_name, tls, detail) => {
    const silent = createServer((socket) => void socket.on("error", () => undefined).resume());
    if (tls) serve({ mute: true });
    else {
      await new Promise<void>((resolve) => silent.listen(0, ip, resolve));
      makePool((silent.address() as { port: number }).port);
    }
    const accepted = new Promise((resolve) => silent.once("connection", resolve));
    const waiter = acquire();
    if (tls) await server?.nth(1);
    else await accepted;
    // The client's end may be up a little later than the server's.
    await eventually(() => {
      clock.advance(1_000);
      return waiter.calls > 0;
    }, "the deadline passed");
    expect(await refused(waiter)).toEqual({ reason: "failed-handshake", detail });
    await new Promise((resolve) => silent.close(resolve));
  });

  test("when the peer closes before it was up", async () => {
    const at = serve({ mute: true });
    const waiter = acquire();
    (await at.nth(1)).close();
    expect(await refused(waiter)).toMatchObject({ reason: "failed-handshake" });
  });

  test("when the peer breaks HTTP/2 before it was up", async () => {
    const at = serve({ mute: true });
    const waiter = acquire();
    (await at.nth(1)).write(frames.ping("12345678"));
    expect(await refused(waiter)).toMatchObject({ reason: "failed-handshake" });
  });

  test("for more connections than may wait for one", async () => {
    serve({ mute: true });
    const waiters = Array.from({ length: WAITING_LIMIT }, () => acquire());
    expect(await refused(acquire())).toEqual({ reason: "failed-overload", detail: "too many wait for a tunnel" });
    expect(waiters.every((waiter) => waiter.calls === 0)).toBe(true);
  });

  test("after the pool was closed, also for those who wait", async () => {
    serve({ mute: true });
    const waiter = acquire();
    pool[Symbol.dispose]();
    const gone = { reason: "failed-overload", detail: "the proxy is shutting down" } as const;
    expect(await refused(waiter)).toEqual(gone);
    expect(await refused(acquire())).toEqual(gone);
  });
});

test("disposed, it cuts every tunnel, also those that only finish their streams", async () => {
  const at = serve();
  const { stream } = await open();
  at.peers[0]?.connection.goAway();
  await eventually(() => pool.size === 0, "the tunnel takes no new streams");
  await open();
  pool[Symbol.dispose]();
  expect(stream.closed).toBe(true);
  await Promise.all(at.peers.map((one) => one.closed.promise));
});

test("over IPv6 it is the same", async () => {
  ip = parseIp("::1") ?? ip;
  serve();
  expect((await open()).stream.id).toBe(1);
  connect(server?.port ?? 0, "::1").destroy();
});

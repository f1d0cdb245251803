import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { PORTS, REASON_HEADER, type Reason } from "../mesh/index.ts";
import { isBalanced } from "../testkit/accounts.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { FakeOriginalDestination, loopbackAddress, loopbackPod } from "../testkit/fake-original-destination.ts";
import { cutFrames, frames, PREFACE, type RawFrame } from "../testkit/http2-peer.ts";
import { eventually, makeAuthority, TRUST_DOMAIN } from "../testkit/loopback-mesh.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { issueIdentity, type TlsIdentity } from "../testkit/mesh-identity.ts";
import { RawTunnel } from "../testkit/raw-tunnel.ts";
import { connectTls, type TlsPeer } from "../testkit/tls-peer.ts";
import type { HeaderList, Http2Stream } from "../tunnel/index.ts";
import { AccessLog } from "./access-log.ts";
import { EdgeTable } from "./edges.ts";
import {
  FIRST_STREAM_LIMIT,
  HANDSHAKE_RATE,
  HANDSHAKES_AT_ONCE,
  HANDSHAKES_OF_A_SOURCE,
  InboundListener,
  UNUSED_LIMIT,
} from "./inbound.ts";
import { LOOK_EVERY, LOOKS_UNANSWERED } from "./life-signs.ts";
import { Metrics } from "./metrics.ts";
import { PEER_LIMITS, PeerLimits } from "./peer-limits.ts";

const CLIENT = "spiffe://cluster.local/ns/shop/sa/client";
const authority = makeAuthority();
const APP = 8080;
/** Listens, accepts nothing, and fills its own queue: whoever dials then is not answered. */
const FULL_QUEUE = `
const net = require("net"), [host, port] = process.argv.slice(1);
const server = net.createServer();
server.listen({ host, port, backlog: 1 }, () => {
  for (let i = 0; i < 8; i++) net.connect(port, host).on("error", () => {});
  setTimeout(() => { console.log("full"); const end = Date.now() + 60000; while (Date.now() < end); }, 0);
});
`;

let clock: FakeClock;
let logger: MemoryLogger;
let metrics: Metrics;
let ip: ReturnType<typeof loopbackAddress>;
let identity: TlsIdentity | undefined;
let denied: Reason | undefined;
let peersAllowed: PeerLimits;
let listener: InboundListener;
let app: Server;
let sockets: Socket[];
let peers: TlsPeer[];

beforeEach(async () => {
  clock = new FakeClock();
  logger = new MemoryLogger();
  metrics = new Metrics();
  ip = loopbackAddress();
  identity = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/server");
  denied = undefined;
  peersAllowed = new PeerLimits({ ...PEER_LIMITS, tunnels: 3, streams: 5 });
  listener = new InboundListener({
    network: loopbackPod(ip, new FakeOriginalDestination()),
    trustDomain: TRUST_DOMAIN,
    credentials: { current: () => identity },
    clock,
    metrics,
    accessLog: new AccessLog(metrics, logger, clock, new EdgeTable(clock)),
    authorize: () => denied,
    peers: peersAllowed,
  });
  sockets = [];
  peers = [];
  app = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => app.listen(APP, ip, resolve));
});
afterEach(async () => {
  listener[Symbol.dispose]();
  for (const peer of peers) await peer.closed.promise;
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => app.close(resolve));
  // A socket that we closed is given up when its peer has closed it too.
  await eventually(() => clock.pending === 0, "no timer is left");
  expect(listener.size).toBe(0);
  await eventually(() => peersAllowed.size === 0, "no peer holds a place");
});

async function tunnel(): Promise<TlsPeer> {
  const peer = await connectTls(ip, PORTS.hbone, issueIdentity(authority, CLIENT));
  peers.push(peer);
  await peer.log.until(/^ready$/);
  return peer;
}

function request(peer: TlsPeer, authorityText: string): Http2Stream {
  const head: HeaderList = [
    [":method", "CONNECT"],
    [":authority", authorityText],
  ];
  return peer.connection.request(head, peer.log);
}

/** The proxy has seen the end of everything. */
function balanced(): Promise<void> {
  return eventually(() => isBalanced(metrics), "the accounts are balanced");
}

describe("a CONNECT to the address that the tunnel came in by", () => {
  test("reaches the application at that address and port, and carries bytes and both ends of the stream", async () => {
    let reached: string | undefined;
    app.prependListener("connection", (socket: Socket) => {
      reached = socket.localAddress;
    });
    const peer = await tunnel();
    const stream = request(peer, `${ip}:${APP}`);
    expect(await peer.log.until(/^1 head/)).toBe("1 head :status=200");
    stream.write(Buffer.from("hello"));
    stream.end();
    await peer.log.until(/^1 end/);
    expect(peer.log.received.get(1)?.toString()).toBe("hello");
    expect(reached).toBe(ip);
    await balanced();
    expect(metrics.of("inbound", "mtls")).toBe(1);
    expect(logger.of("connection")[0]?.fields).toMatchObject({ peer: CLIENT, destination: `${ip}:${APP}` });
  });

  test("counts bytes to the application as sent and bytes from it as received", async () => {
    app.removeAllListeners("connection");
    app.on("connection", (socket: Socket) => {
      sockets.push(socket);
      socket.on("data", () => socket.end("0123456789"));
    });
    const peer = await tunnel();
    const stream = request(peer, `${ip}:${APP}`);
    await peer.log.until(/^1 head/);
    stream.write(Buffer.from("hello"));
    stream.end();
    await peer.log.until(/^1 end/);
    await balanced();
    expect(metrics.inbound).toMatchObject({ sent: 5, received: 10 });
  });

  test("53: to a port where nothing listens is answered by 503 and the reason", async () => {
    const peer = await tunnel();
    request(peer, `${ip}:9`);
    expect(await peer.log.until(/^1 head/)).toBe(`1 head :status=503 ${REASON_HEADER}=failed-connect end-stream`);
    await balanced();
    expect(metrics.of("inbound", "failed-connect")).toBe(1);
    expect(logger.of("connection")[0]?.fields).toMatchObject({ reason: "failed-connect", detail: "ECONNREFUSED" });
  });

  test.each([PORTS.outbound, PORTS.inboundPlaintext, PORTS.hbone, PORTS.metrics, PORTS.readiness])(
    "51: to the proxy's own port %d is answered by 503 refused-own-port",
    async (port) => {
      const peer = await tunnel();
      request(peer, `${ip}:${port}`);
      expect(await peer.log.until(/^1 head/)).toBe(`1 head :status=503 ${REASON_HEADER}=refused-own-port end-stream`);
      await balanced();
      expect(metrics.of("inbound", "refused-own-port")).toBe(1);
    },
  );

  test("52: that policy denies is answered by 401 and the policy's reason", async () => {
    denied = "refused-policy";
    const peer = await tunnel();
    request(peer, `${ip}:${APP}`);
    expect(await peer.log.until(/^1 head/)).toBe(`1 head :status=401 ${REASON_HEADER}=refused-policy end-stream`);
    await balanced();
    expect(metrics.of("inbound", "refused-policy")).toBe(1);
    expect(sockets).toHaveLength(0);
  });

  test("that the client gives up before the application answered the dial is closed and counted", async () => {
    const peer = await tunnel();
    request(peer, `${ip}:${APP}`).reset(8);
    await peer.log.until(/./);
    await new Promise<void>((resolve) => peer.connection.ping(resolve));
    await balanced();
    expect(metrics.of("inbound", "failed-connect")).toBe(1);
  });
});

describe("48, 49, 50: any other request is answered by 400", () => {
  const cases: [string, () => HeaderList][] = [
    [
      "GET",
      () => [
        [":method", "GET"],
        [":scheme", "https"],
        [":path", "/"],
        [":authority", `${ip}:${APP}`],
      ],
    ],
    ["another address", () => connectTo(`127.0.0.1:${APP}`)],
    ["a name", () => connectTo(`localhost:${APP}`)],
    ["no port", () => connectTo(ip)],
    ["port 0", () => connectTo(`${ip}:0`)],
    ["a port above 65535", () => connectTo(`${ip}:65536`)],
    ["a port with a leading zero", () => connectTo(`${ip}:08080`)],
    ["user information", () => connectTo(`user@${ip}:${APP}`)],
    ["an address with a leading zero", () => connectTo(`0${ip}:${APP}`)],
    ["nothing", () => connectTo("")],
  ];
  test.each(cases)("%s", async (_name, head) => {
    const peer = await tunnel();
    peer.connection.request(head(), peer.log);
    expect(await peer.log.until(/^1 head/)).toBe("1 head :status=400 end-stream");
    await balanced();
    expect(metrics.of("inbound", "failed-connect")).toBe(1);
    expect(sockets).toHaveLength(0);
  });

  test.each([
    [true, []],
    [false, ["RST_STREAM"]],
  ])("and reset only when more of it may come (RFC 9113 §8.1); came in full: %s", async (endStream, resets) => {
    const peer = await connectTls(ip, PORTS.hbone, issueIdentity(authority, CLIENT), { mute: true });
    peers.push(peer);
    const head = frames.headers(1, connectTo("nowhere"), endStream);
    peer.write(Buffer.concat([Buffer.from(PREFACE), frames.settings(), head, frames.ping("all came")]));
    await eventually(() => Buffer.concat(peer.bytes).includes("all came"), "the PING is answered");
    const found: RawFrame[] = [];
    cutFrames(Buffer.concat(peer.bytes), found);
    expect(found.filter(({ stream }) => stream === 1).map(({ type }) => type)).toEqual(["HEADERS", ...resets]);
    peer.destroy();
  });

  test("a v4-mapped form of the own address is the own address", async () => {
    const peer = await tunnel();
    request(peer, `[::ffff:${ip}]:${APP}`);
    expect(await peer.log.until(/^1 head/)).toBe("1 head :status=200");
  });
});

function connectTo(authorityText: string): HeaderList {
  return [
    [":method", "CONNECT"],
    [":authority", authorityText],
  ];
}

describe("47: a connection that stalls", () => {
  test("between two bytes of its handshake is cut 10 s after it was accepted (slowloris)", async () => {
    const socket = connect(PORTS.hbone, ip);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined);
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    // A record of TLS that announces a ClientHello of 512 octets.
    for (const byte of [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]) {
      socket.write(Buffer.from([byte]));
      await new Promise((resolve) => setTimeout(resolve, 1));
      clock.advance(1_000);
    }
    expect(metrics.inbound.handshakesFailed).toBe(0);
    clock.advance(1_000);
    await closed;
    await balanced();
  });

  test("without a byte is cut after 10 s", async () => {
    const socket = connect(PORTS.hbone, ip);
    await new Promise((resolve) => socket.once("connect", resolve));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined);
    // Accepted is not yet seen at this end: the listener arms its deadline as it accepts.
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10_000);
    await closed;
    expect(logger.of("connection")[0]?.fields).toMatchObject({
      reason: "failed-handshake",
      detail: "no handshake within 10 s",
    });
    await balanced();
  });

  test("after the handshake, without SETTINGS, is cut after 10 s too", async () => {
    const peer = await connectTls(ip, PORTS.hbone, issueIdentity(authority, CLIENT), { mute: true });
    peers.push(peer);
    while (metrics.inbound.handshakes === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10_000);
    await peer.closed.promise;
    expect(logger.of("connection")[0]?.fields).toMatchObject({
      reason: "failed-handshake",
      detail: "no HTTP/2 within 10 s",
      peer: CLIENT,
    });
    await balanced();
  });

  test("and then goes away before the handshake is over is one failed handshake", async () => {
    const socket = connect(PORTS.hbone, ip);
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.end("this is no TLS at all");
    const { fields } = await logger.nth("connection", 1);
    expect(fields).toMatchObject({ reason: "failed-handshake" });
    await balanced();
    expect(metrics.inbound).toMatchObject({ handshakes: 0, handshakesFailed: 1 });
    socket.destroy();
  });
});

/** Time passes for the listener as it looks at its tunnels; between two looks it hears what the peer answers. */
async function pass(span: number, peer?: TlsPeer): Promise<void> {
  for (let passed = 0; passed < span; passed += LOOK_EVERY) {
    clock.advance(LOOK_EVERY);
    if (peer === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    else await roundTrip(peer);
  }
}

/** The peer has answered all that came to it, and the proxy has read that. */
function roundTrip(peer: TlsPeer): Promise<void> {
  return new Promise((resolve) => peer.connection.ping(resolve));
}

describe("a tunnel that nobody uses", () => {
  test("is asked to leave a minute after its handshake, and leaves", async () => {
    const peer = await tunnel();
    await pass(FIRST_STREAM_LIMIT - LOOK_EVERY, peer);
    expect(listener.size).toBe(1);
    await pass(LOOK_EVERY);
    expect(await peer.log.until(/^goaway/)).toBe("goaway 0");
    await peer.closed.promise;
  });

  test("stays ten minutes after it has had a stream, longer than a pool keeps it", async () => {
    const peer = await tunnel();
    request(peer, `${ip}:${APP}`).end();
    await peer.log.until(/^1 end/);
    await pass(UNUSED_LIMIT - LOOK_EVERY, peer);
    request(peer, `${ip}:${APP}`).end();
    await peer.log.until(/^3 end/);
    await pass(UNUSED_LIMIT, peer);
    expect(listener.size).toBe(1);
    await pass(LOOK_EVERY);
    await peer.closed.promise;
    expect(peer.log.events).toContain("goaway 0");
  });

  test("loses no stream that is opened while it is asked to leave (RFC 9113 §6.8)", async () => {
    const peer = await tunnel();
    await pass(FIRST_STREAM_LIMIT - LOOK_EVERY, peer);
    clock.advance(LOOK_EVERY);
    // Nothing has come to the peer yet.
    request(peer, `${ip}:${APP}`).end();
    expect(await peer.log.until(/^1 head/)).toBe("1 head :status=200");
    await peer.log.until(/^1 end/);
    await peer.closed.promise;
  });

  test("stays as long as it has a stream, however idle", async () => {
    const peer = await tunnel();
    const stream = request(peer, `${ip}:${APP}`);
    await peer.log.until(/^1 head/);
    await pass(2 * UNUSED_LIMIT, peer);
    stream.write(Buffer.from("still here"));
    await peer.log.until(/^1 data/);
    expect(listener.size).toBe(1);
  });
});

describe("a peer that vanished without a word", () => {
  test("is found by a PING while it has streams, and what they held is given back", async () => {
    const peer = await RawTunnel.open({ ip, identity: issueIdentity(authority, CLIENT), answersPings: false });
    await peer.send(frames.headers(1, connectTo(`${ip}:${APP}`)));
    await peer.until(() => peer.answers.has(1));
    await pass(LOOK_EVERY);
    await peer.until(() => peer.frames.some(({ type, flags }) => type === "PING" && flags === 0));
    await pass((LOOKS_UNANSWERED - 1) * LOOK_EVERY);
    expect(listener.size).toBe(1);
    await pass(LOOK_EVERY);
    await peer.end();
    await eventually(() => sockets.every((socket) => socket.destroyed), "the application has lost it too");
    await balanced();
  });

  test("or does not read what the application sends is cut as well", async () => {
    app.removeAllListeners("connection");
    app.on("connection", (socket: Socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
      socket.write(Buffer.alloc(64 * 1024 * 1024));
    });
    using peer = await RawTunnel.open({
      ip,
      identity: issueIdentity(authority, CLIENT),
      deaf: true,
      settings: [[4, 0x7fff_ffff]],
    });
    await peer.send(frames.windowUpdate(0, 0x7fff_0000 - 65_535), frames.headers(1, connectTo(`${ip}:${APP}`)));
    await eventually(() => metrics.inbound.received > 1024 * 1024, "the application's bytes flow");
    await pass((LOOKS_UNANSWERED + 1) * LOOK_EVERY);
    await eventually(() => listener.size === 0, "the tunnel is cut");
    await balanced();
  });
});

describe("what one verified peer may hold", () => {
  test("is so many tunnels; another identity at the same address has its own", async () => {
    await Promise.all([tunnel(), tunnel(), tunnel()]);
    const refused = await connectTls(ip, PORTS.hbone, issueIdentity(authority, CLIENT));
    await refused.closed.promise;
    const { fields } = await logger.nth("connection", 1);
    expect(fields).toMatchObject({ reason: "failed-overload", peer: CLIENT, detail: "this peer has 3 tunnels" });
    peers.push(await connectTls(ip, PORTS.hbone, issueIdentity(authority, `${CLIENT}-too`)));
    await peers.at(-1)?.log.until(/^ready$/);
    peers[0]?.destroy();
    await eventually(() => listener.size === 3, "one has gone");
    await tunnel();
    await balanced();
  });

  test("is so many connections over all its tunnels, and others have their own", async () => {
    const [one, two] = [await tunnel(), await tunnel()];
    const [first] = [one, two, one, two, one].map((peer) => request(peer, `${ip}:${APP}`));
    await eventually(() => sockets.length === 5, "five are open");
    const sixth = request(two, `${ip}:${APP}`);
    expect(await two.log.until(new RegExp(`^${sixth.id} head`))).toBe(
      `${sixth.id} head :status=503 ${REASON_HEADER}=failed-overload end-stream`,
    );
    expect(logger.of("connection").at(-1)?.fields).toMatchObject({
      reason: "failed-overload",
      peer: CLIENT,
      detail: "this peer has 5 connections",
    });
    const other = await connectTls(ip, PORTS.hbone, issueIdentity(authority, `${CLIENT}-too`));
    peers.push(other);
    await other.log.until(/^ready$/);
    request(other, `${ip}:${APP}`);
    expect(await other.log.until(/^1 head/)).toBe("1 head :status=200");
    first?.reset(8);
    await eventually(() => metrics.inbound.closed === 2, "one of the five has ended");
    const seventh = request(two, `${ip}:${APP}`);
    expect(await two.log.until(new RegExp(`^${seventh.id} head`))).toEndWith(":status=200");
  });

  test("counts a stream that was reset as long as the kernel still dials for it (CVE-2025-8671)", async () => {
    // A port whose queue of connections is full: the kernel goes on asking for two minutes.
    const full = Bun.spawn(["node", "-e", FULL_QUEUE, ip, "9"], { stdout: "pipe" });
    await full.stdout.getReader().read();
    const peer = await tunnel();
    for (let i = 0; i < 5; i++) request(peer, `${ip}:9`).reset(8);
    await roundTrip(peer);
    const sixth = request(peer, `${ip}:${APP}`);
    expect(await peer.log.until(new RegExp(`^${sixth.id} head`))).toContain("failed-overload");
    // The port is closed: the kernel gives up.
    full.kill();
    await eventually(async () => {
      const again = request(peer, `${ip}:${APP}`);
      const head = await peer.log.until(new RegExp(`^${again.id} head`));
      again.reset(8);
      return head.endsWith(":status=200");
    }, "the places are free again");
  });
});

test("a source that shakes hands again and again is slowed down, and no other", async () => {
  const { burst, every } = HANDSHAKE_RATE;
  const knock = async (source: string) => {
    const [socket] = await silence(1, source);
    socket?.destroy();
  };
  for (let i = 0; i < burst; i++) await knock("127.9.9.1");
  await eventually(() => metrics.of("inbound", "failed-handshake") === burst, "each was let in");
  await knock("127.9.9.1");
  await eventually(() => metrics.of("inbound", "failed-overload") === 1, "one too many");
  await knock("127.9.9.2");
  clock.advance(every);
  await knock("127.9.9.1");
  await eventually(() => metrics.of("inbound", "failed-handshake") === burst + 2, "both were let in");
  await balanced();
});

/** Connections that say nothing, from a source of their own. */
function silence(count: number, source: string): Promise<Socket[]> {
  const dial = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect({ port: PORTS.hbone, host: ip, localAddress: source }, () => resolve(socket));
      socket.on("error", () => resolve(socket));
    });
  return Promise.all(Array.from({ length: count }, dial));
}

test("many connections that say nothing are bounded, and a place is free again when one of them goes", async () => {
  const silent: Socket[] = [];
  // Some at a time: more than the kernel's queue of the listener holds would be dropped and tried again a second later.
  for (let dialled = 0; dialled < HANDSHAKES_AT_ONCE + 10; dialled += 94) {
    silent.push(...(await silence(94, `127.9.9.${dialled / 94 + 1}`)));
  }
  await eventually(() => metrics.of("inbound", "failed-overload") === 10, "ten too many were refused");
  silent.find((socket) => !socket.destroyed)?.destroy();
  await eventually(() => metrics.of("inbound", "failed-handshake") === 1, "one has gone");
  await tunnel();
  for (const socket of silent) socket.destroy();
  // The tunnel that is up is looked at.
  await eventually(() => clock.pending === 1, "all others have gone");
  await balanced();
});

test("one source that says nothing keeps no other out", async () => {
  const silent = await silence(HANDSHAKES_OF_A_SOURCE / 2, "127.9.9.1");
  silent.push(...(await silence(HANDSHAKES_OF_A_SOURCE / 2 + 10, "127.9.9.1")));
  await eventually(() => metrics.of("inbound", "failed-overload") === 10, "ten too many were refused");
  await tunnel();
  for (const socket of silent) socket.destroy();
  // The tunnel that is up is looked at.
  await eventually(() => clock.pending === 1, "all others have gone");
  await balanced();
});

test("without a certificate of its own it takes nobody in", async () => {
  identity = undefined;
  const socket = connect(PORTS.hbone, ip);
  socket.on("error", () => undefined);
  const { fields } = await logger.nth("connection", 1);
  expect(fields).toMatchObject({ reason: "failed-no-certificate" });
  await balanced();
  socket.destroy();
});

test("a certificate that does not fit its key is a defect that is reported, and the connection is closed", async () => {
  const other = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/server");
  if (identity !== undefined) identity = { ...identity, key: other.key };
  const socket = connect(PORTS.hbone, ip);
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const { fields } = await logger.nth("connection", 1);
  expect(fields).toMatchObject({ reason: "failed-no-certificate" });
  await closed;
  await balanced();
});

test("each handshake presents the newest certificate, and tunnels of the old one go on", async () => {
  const before = await tunnel();
  const first = identity?.serial;
  identity = issueIdentity(authority, "spiffe://cluster.local/ns/shop/sa/server");
  const after = await tunnel();
  expect([before.serial, after.serial]).toEqual([first, identity.serial] as never);
  request(before, `${ip}:${APP}`);
  expect(await before.log.until(/^1 head/)).toBe("1 head :status=200");
});

test("drained, it takes no new tunnels and no new streams, and open ones end by themselves", async () => {
  const peer = await tunnel();
  const idle = await tunnel();
  const stream = request(peer, `${ip}:${APP}`);
  await peer.log.until(/^1 head/);
  listener.drain();
  await idle.closed.promise;
  await peer.log.until(/^goaway 0/);
  expect(peer.connection.canOpen).toBe(false);
  const refused = connect(PORTS.hbone, ip);
  await new Promise((resolve) => refused.once("error", resolve));
  stream.write(Buffer.from("last words"));
  stream.end();
  await peer.log.until(/^1 end/);
  expect(peer.log.received.get(1)?.toString()).toBe("last words");
  await peer.closed.promise;
  await balanced();
});

test("disposed, it cuts tunnels and streams and keeps no account open", async () => {
  const peer = await tunnel();
  request(peer, `${ip}:${APP}`);
  await peer.log.until(/^1 head/);
  listener[Symbol.dispose]();
  await peer.closed.promise;
  await balanced();
});

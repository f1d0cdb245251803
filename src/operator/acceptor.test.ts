import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { systemClock, systemRandom } from "../cli/system.ts";
import { Authority, parseTrustDomain } from "../identity/index.ts";
import { type Clock, type Ip, SYSTEM_NAMESPACE } from "../mesh/index.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { MemoryLogger } from "../testkit/memory-logger.ts";
import { type AcceptorOptions, TlsAcceptor } from "./acceptor.ts";
import { OperatorError } from "./errors.ts";
import { ServerCertificate } from "./server-certificate.ts";

const cleanup: Disposable[] = [];
afterEach(() => {
  for (const one of cleanup.splice(0).reverse()) one[Symbol.dispose]();
});

function stage(parts: Partial<AcceptorOptions> = {}, clock: Clock = systemClock) {
  const authority = Authority.create({
    trustDomain: parseTrustDomain("cluster.local"),
    clock: new FakeClock(Date.now()),
    random: systemRandom,
  });
  const logger = new MemoryLogger();
  const ownClock = new FakeClock(Date.now());
  const certificate = new ServerCertificate(authority, ownClock, logger, {
    namespace: SYSTEM_NAMESPACE,
    ips: ["127.0.0.1" as Ip],
  });
  const connections: Duplex[] = [];
  const acceptor = new TlsAcceptor({
    hosts: ["127.0.0.1"],
    port: 0,
    what: "a test",
    protocol: "h2",
    material: () => certificate.current,
    clock,
    logger,
    onConnection: (connection) => {
      connections.push(connection);
      connection.resume();
    },
    ...parts,
  });
  cleanup.push(certificate, acceptor);
  return { acceptor, connections, logger, renew: () => ownClock.advance(13 * 3_600_000) };
}

function tls(port: number, options: ConnectionOptions = {}): TLSSocket {
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"], ...options });
  cleanup.push({ [Symbol.dispose]: () => socket.destroy() });
  return socket;
}

function tcp(port: number): Socket {
  const socket = connectTcp(port, "127.0.0.1");
  cleanup.push({ [Symbol.dispose]: () => socket.destroy() });
  return socket;
}

/** Resolves when the other end has closed, by FIN, RST or an alert. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.resume();
  });
}

function secure(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
}

describe("the acceptor", () => {
  test("hands on a connection with TLS 1.3 and HTTP/2", async () => {
    const served = Promise.withResolvers<string>();
    const { acceptor } = stage({
      onConnection: (connection) => connection.on("data", (chunk: Buffer) => served.resolve(chunk.toString())),
    });
    const socket = tls(acceptor.port);
    await secure(socket);
    expect([socket.getProtocol(), socket.alpnProtocol]).toEqual(["TLSv1.3", "h2"]);
    socket.write("hello");
    expect(await served.promise).toBe("hello");
  });

  test.each([
    ["TLS 1.2", { maxVersion: "TLSv1.2" as const }],
    ["no ALPN", { ALPNProtocols: [] }],
    ["HTTP/1.1", { ALPNProtocols: ["http/1.1"] }],
  ])("refuses %s", async (_what, options) => {
    const { acceptor, connections } = stage();
    await closed(tls(acceptor.port, options));
    expect(connections).toEqual([]);
  });

  test.each([
    ["a request in plaintext", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["noise", Buffer.alloc(70_000, 0xa5)],
    ["a record that claims to be endless", Buffer.from("160301ffff", "hex")],
  ])("closes on %s", async (_what, bytes) => {
    const clock = new FakeClock();
    const { acceptor, connections } = stage({}, clock);
    const socket = tcp(acceptor.port);
    const end = closed(socket);
    socket.write(bytes);
    // What is not refused at once is so in 10 s.
    const hurry = setInterval(() => clock.advance(10_000), 50);
    await end;
    clearInterval(hurry);
    expect(connections).toEqual([]);
  });

  test("gives a silent connection 10 s, and leaves no timer", async () => {
    const clock = new FakeClock();
    const { acceptor } = stage({}, clock);
    const socket = tcp(acceptor.port);
    const end = closed(socket);
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(9_999);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await end;
    expect(clock.pending).toBe(0);
  });

  test("gives up the deadline of a handshake that is done", async () => {
    const clock = new FakeClock();
    const { acceptor, connections } = stage({}, clock);
    await secure(tls(acceptor.port));
    while (connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(clock.pending).toBe(0);
  });

  test("closes a connection whose handshake cannot start", async () => {
    let broken = true;
    const { acceptor, logger, connections } = stage({
      material: () => {
        if (broken) throw new Error("no certificate");
        return { cert: "", key: "" };
      },
    });
    await closed(tcp(acceptor.port));
    broken = false;
    expect(connections).toEqual([]);
    expect(logger.of("a handshake could not start")).toHaveLength(1);
  });

  test("shows the newest certificate in each new handshake, without a restart", async () => {
    const { acceptor, renew } = stage();
    const serial = async () => {
      const socket = tls(acceptor.port);
      await secure(socket);
      return socket.getPeerCertificate().serialNumber;
    };
    const before = await serial();
    expect(await serial()).toBe(before);
    renew();
    expect(await serial()).not.toBe(before);
  });

  test("writes no faster than a slow reader reads, and loses nothing", async () => {
    const total = 64 * 1024 * 1024;
    const accepted = Promise.withResolvers<Duplex>();
    const { acceptor } = stage({ onConnection: (connection) => accepted.resolve(connection) });
    const socket = tls(acceptor.port);
    await secure(socket);
    socket.pause();
    const connection = await accepted.promise;
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024, 7);
    const write = () => {
      while (written < total) {
        written += chunk.length;
        if (!connection.write(chunk)) return;
      }
      connection.end();
    };
    connection.on("drain", write);
    write();
    // A stalled writer is the state that lasts: it holds through many turns.
    let [last, same] = [-1, 0];
    while (same < 50) {
      await new Promise((resolve) => setImmediate(resolve));
      same = written === last ? same + 1 : 0;
      last = written;
    }
    expect(written).toBeLessThan(total / 2);
    let received = 0;
    let wrong = 0;
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      if (bytes[0] !== 7 || bytes[bytes.length - 1] !== 7) wrong++;
    });
    await closed(socket);
    expect([received, wrong]).toEqual([total, 0]);
  });

  test("reads no faster than its owner does, and loses nothing", async () => {
    const total = 64 * 1024 * 1024;
    const accepted = Promise.withResolvers<Duplex>();
    const { acceptor } = stage({ onConnection: (connection) => accepted.resolve(connection) });
    const socket = tls(acceptor.port);
    await secure(socket);
    const connection = await accepted.promise;
    connection.pause();
    socket.on("error", () => undefined);
    let sent = 0;
    const chunk = Buffer.alloc(64 * 1024, 7);
    const write = () => {
      while (sent < total) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on("drain", write);
    write();
    let [last, same] = [-1, 0];
    while (same < 50) {
      await new Promise((resolve) => setImmediate(resolve));
      same = sent === last ? same + 1 : 0;
      last = sent;
    }
    expect(sent).toBeLessThan(total / 2);
    let received = 0;
    connection.on("data", (bytes: Buffer) => {
      received += bytes.length;
    });
    connection.resume();
    await new Promise((resolve) => connection.on("close", resolve));
    expect(received).toBe(total);
  });

  test("is rid of a connection that its owner gave up, although the peer goes on", async () => {
    const accepted = Promise.withResolvers<Duplex>();
    const { acceptor } = stage({ onConnection: (connection) => accepted.resolve(connection) });
    // A client that keeps its end open; the option is missing in the types.
    const halfOpen = { allowHalfOpen: true, ALPNProtocols: ["h2"] };
    const socket = tls(acceptor.port, halfOpen);
    await secure(socket);
    const connection = await accepted.promise;
    // What node:http2 does with a session that it closes for flooding.
    connection.end(() => connection.destroy());
    const gone = closed(socket);
    const chunk = Buffer.alloc(1024 * 1024);
    const write = () => {
      while (!socket.destroyed) if (!socket.write(chunk)) return;
    };
    socket.on("drain", write);
    write();
    await gone;
  });

  test("says who has the port", () => {
    const { acceptor } = stage();
    const again = () => stage({ port: acceptor.port });
    expect(again).toThrow(OperatorError);
    expect(again).toThrow(`127.0.0.1:${acceptor.port}`);
  });

  test("binds every host or none", async () => {
    const { acceptor: taken } = stage({ hosts: ["127.0.0.2"] });
    expect(() => stage({ hosts: ["127.0.0.1", "127.0.0.2"], port: taken.port })).toThrow(OperatorError);
    // The first was given back.
    expect(stage({ hosts: ["127.0.0.1"], port: taken.port }).acceptor.port).toBe(taken.port);
  });

  test("leaves nothing open when disposed: neither handshakes nor connections nor listeners", async () => {
    const clock = new FakeClock();
    const { acceptor, connections } = stage({}, clock);
    const silent = tcp(acceptor.port);
    const open = tls(acceptor.port);
    const ends = [closed(silent), closed(open)];
    while (connections.length === 0 || clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    const served = new Promise((resolve) => connections[0]?.on("close", resolve));
    acceptor[Symbol.dispose]();
    await Promise.all([...ends, served]);
    while (clock.pending > 0) await new Promise((resolve) => setImmediate(resolve));
    await closed(tcp(acceptor.port));
  });
});

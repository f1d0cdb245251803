import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as grpc from "@grpc/grpc-js";
import { systemClock, systemRandom } from "../cli/system.ts";
import { Authority, parseTrustDomain } from "../identity/index.ts";
import { OPERATOR_HOST } from "../mesh/index.ts";
import { definition } from "../operator/grpc.ts";
import { FakeClock } from "../testkit/fake-clock.ts";
import { bindGrpc, operatorCertificate } from "../testkit/grpc-server.ts";
import { frame, frames } from "../testkit/http2-peer.ts";
import { eventually } from "../testkit/loopback-mesh.ts";
import { TlsServer } from "../testkit/tls-peer.ts";
import type { Http2Stream } from "../tunnel/index.ts";
import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  METHODS,
  type ReportAck,
  type ReportBatch,
} from "../wire/index.ts";
import { GrpcClient } from "./grpc-client.ts";
import type { GrpcError, GrpcStatus } from "./grpc-status.ts";
import { reportDefects } from "./socket.ts";

const authority = Authority.create({
  trustDomain: parseTrustDomain("cluster.local"),
  clock: systemClock,
  random: systemRandom,
});
const REQUEST: IstioCertificateRequest = { csr: "csr", validityDuration: 0, metadata: undefined };

type Unary = grpc.handleUnaryCall<IstioCertificateRequest, IstioCertificateResponse>;
type Push = grpc.handleBidiStreamingCall<ReportBatch, ReportAck>;

let clock: FakeClock;
let cleanups: (() => void)[];
let roots: () => Promise<string>;
beforeEach(() => {
  clock = new FakeClock();
  cleanups = [];
  roots = async () => authority.bundle().pem();
});
afterEach(async () => {
  for (const clean of cleanups.reverse()) clean();
  // A socket that we closed is given up when its peer has closed it too.
  await eventually(() => clock.pending === 0, "no timer is left");
});

function client(port: number, serverName: string = OPERATOR_HOST): GrpcClient {
  const made = new GrpcClient({
    address: { host: "127.0.0.1", port, serverName },
    clock,
    roots: () => roots(),
    token: async () => "the-token",
  });
  cleanups.push(() => made[Symbol.dispose]());
  return made;
}

/** grpc-js with the given answers. */
async function serve(
  handlers: { unary?: Unary; push?: Push },
  port = 0,
): Promise<{ port: number; server: grpc.Server }> {
  const server = new grpc.Server();
  const unimplemented: Unary = (_call, done) => done({ code: grpc.status.UNIMPLEMENTED });
  const silent: Push = (stream) => stream.on("error", () => undefined);
  server.addService({ m: definition(METHODS.createCertificate) }, { m: handlers.unary ?? unimplemented });
  server.addService({ m: definition(METHODS.pushReports) }, { m: handlers.push ?? silent });
  const bound = await bindGrpc(server, authority, port);
  cleanups.push(() => server.forceShutdown());
  return { port: bound, server };
}

/** HTTP/2 without gRPC. */
function serveHttp2(options: ConstructorParameters<typeof TlsServer>[3]): TlsServer {
  const server = new TlsServer("127.0.0.1", 0, operatorCertificate(authority), options);
  cleanups.push(() => server[Symbol.dispose]());
  return server;
}

/** The status with which a unary call ended. */
async function statusOf(made: GrpcClient, deadline = 10_000): Promise<GrpcStatus> {
  try {
    await made.unary(METHODS.createCertificate, REQUEST, deadline);
    return { code: 0, message: "" };
  } catch (error) {
    return (error as GrpcError).status;
  }
}

describe("a unary call", () => {
  test("brings the answer, and the server sees token, deadline and authority", async () => {
    let seen: grpc.ServerUnaryCall<IstioCertificateRequest, IstioCertificateResponse> | undefined;
    const { port } = await serve({
      unary: (call, done) => {
        seen = call;
        done(null, { certChain: [call.request.csr] });
      },
    });
    expect(await client(port).unary(METHODS.createCertificate, REQUEST, 10_000)).toEqual({ certChain: ["csr"] });
    expect(seen?.metadata.get("authorization")).toEqual(["Bearer the-token"]);
    expect(seen?.getHost()).toBe(`${OPERATOR_HOST}:${port}`);
    expect(Number(seen?.getDeadline()) - Date.now()).toBeWithin(5_000, 10_001);
  });

  test.each([
    [grpc.status.PERMISSION_DENIED, "no: 50 % – „ö“"],
    [grpc.status.UNAUTHENTICATED, "who are you"],
    [grpc.status.UNAVAILABLE, "not now"],
    [grpc.status.FAILED_PRECONDITION, "the CA is sealed"],
  ])("that the server ends with status %d says so, with its message", async (code, details) => {
    const { port } = await serve({ unary: (_call, done) => done({ code, details }) });
    expect(await statusOf(client(port))).toEqual({ code, message: details });
  });

  test("ends at its deadline, and the server is told to stop", async () => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const { port } = await serve({
      unary: (call) => {
        call.on("cancelled", () => cancelled.resolve());
        begun.resolve();
      },
    });
    const status = statusOf(client(port), 3_000);
    await begun.promise;
    clock.advance(3_000);
    expect(await status).toEqual({ code: grpc.status.DEADLINE_EXCEEDED, message: "no answer within 3000 ms" });
    await cancelled.promise;
  });

  test("whose deadline passed while the connection was made is not sent any more", async () => {
    const requests: string[] = [];
    const { port } = await serve({
      unary: (call, done) => {
        requests.push(call.request.csr);
        done(null, { certChain: [] });
      },
    });
    const waiting = Promise.withResolvers<string>();
    roots = () => waiting.promise;
    const made = client(port);
    const status = statusOf(made, 1_000);
    clock.advance(1_000);
    expect(await status).toMatchObject({ code: grpc.status.DEADLINE_EXCEEDED });
    waiting.resolve(authority.bundle().pem());
    await made.unary(METHODS.createCertificate, { ...REQUEST, csr: "second" }, 10_000);
    expect(requests).toEqual(["second"]);
  });

  test("refuses an answer above the limit, and the connection goes on", async () => {
    let size = 5 * 1024 * 1024;
    const { port } = await serve({ unary: (_call, done) => done(null, { certChain: ["x".repeat(size)] }) });
    const made = client(port);
    expect(await statusOf(made)).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    size = 3 * 1024 * 1024;
    expect((await made.unary(METHODS.createCertificate, REQUEST, 10_000)).certChain[0]?.length).toBe(size);
  });

  test("on a connection that is cut ends at once, and the next one dials anew", async () => {
    const begun = Promise.withResolvers<void>();
    const { port, server } = await serve({ unary: () => begun.resolve() });
    const made = client(port);
    const status = statusOf(made);
    await begun.promise;
    server.forceShutdown();
    expect(await status).toMatchObject({ code: grpc.status.UNAVAILABLE });
    await serve({ unary: (_call, done) => done(null, { certChain: ["again"] }) }, port);
    expect(await made.unary(METHODS.createCertificate, REQUEST, 10_000)).toEqual({ certChain: ["again"] });
  });
});

describe("a stream", () => {
  const batch = (sequence: number): ReportBatch => ({
    sequence,
    clockMillis: 0,
    startedMillis: 0,
    proxyVersion: "1",
    bundleSequence: 0,
    reissueEpoch: 0,
    leaf: undefined,
    draining: false,
    counters: [],
    edges: [],
    edgesDropped: 0,
  });

  test("carries messages both ways until one end closes it", async () => {
    const { port } = await serve({
      push: (stream) => {
        stream.on("data", (one: ReportBatch) => stream.write({ sequence: one.sequence * 10 }));
        stream.on("end", () => stream.end());
      },
    });
    const acks: number[] = [];
    const ended = Promise.withResolvers<GrpcStatus>();
    const call = await client(port).open(METHODS.pushReports, {
      onMessage: ({ sequence }) => acks.push(sequence),
      onEnd: ended.resolve,
    });
    for (let sequence = 1; sequence <= 100; sequence++) call.send(batch(sequence));
    call.finish();
    expect(await ended.promise).toMatchObject({ code: 0 });
    expect(acks).toEqual(Array.from({ length: 100 }, (_, index) => (index + 1) * 10));
    call.send(batch(101));
  });

  test("ends exactly once, also when it is cancelled in a callback", async () => {
    const { port } = await serve({ push: (stream) => stream.on("data", () => stream.write({ sequence: 1 })) });
    const ended = Promise.withResolvers<GrpcStatus>();
    let ends = 0;
    const call = await client(port).open(METHODS.pushReports, {
      onMessage: () => call.cancel(),
      onEnd: (status) => {
        ends++;
        ended.resolve(status);
      },
    });
    call.send(batch(1));
    expect(await ended.promise).toMatchObject({ code: grpc.status.CANCELLED });
    call.cancel();
    expect(ends).toBe(1);
  });

  test("of a server that reads nothing is given up before it fills the memory", async () => {
    const { port } = await serve({ push: (stream) => void stream.pause() });
    const ended = Promise.withResolvers<GrpcStatus>();
    const call = await client(port).open(METHODS.pushReports, { onMessage: () => undefined, onEnd: ended.resolve });
    const large = { ...batch(1), proxyVersion: "x".repeat(1024 * 1024) };
    for (let sent = 0; sent < 64; sent++) call.send(large);
    expect(await ended.promise).toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
  });
});

describe("connections", () => {
  test("are one for all who call at once", async () => {
    let read = 0;
    roots = async () => {
      read++;
      return authority.bundle().pem();
    };
    const { port } = await serve({ unary: (call, done) => done(null, { certChain: [call.getPeer()] }) });
    const made = client(port);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => made.unary(METHODS.createCertificate, REQUEST, 10_000)),
    );
    expect(new Set(answers.map((answer) => answer.certChain[0])).size).toBe(1);
    expect(read).toBe(1);
  });

  test("to a server of another CA, of another name or with another protocol are not used", async () => {
    const { port } = await serve({});
    expect(await statusOf(client(port, "another.name.svc"))).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      message: "the operator's certificate was not accepted: ERR_TLS_CERT_ALTNAME_INVALID",
    });
    const other = Authority.create({ trustDomain: authority.trustDomain, clock: systemClock, random: systemRandom });
    roots = async () => other.bundle().pem();
    expect((await statusOf(client(port))).message).toStartWith("the operator's certificate was not accepted: ");
    roots = async () => authority.bundle().pem();
    expect(await statusOf(client(serveHttp2({ alpn: "" }).port))).toMatchObject({
      message: "the operator does not speak HTTP/2",
    });
  });

  test("without a listener, or without readable roots, say why", async () => {
    const { port, server } = await serve({});
    server.forceShutdown();
    expect(await statusOf(client(port))).toMatchObject({
      code: grpc.status.UNAVAILABLE,
      message: "connect: ECONNREFUSED",
    });
    roots = async () => {
      throw new Error("no file");
    };
    expect(await statusOf(client(port))).toEqual({ code: grpc.status.UNAVAILABLE, message: "no file" });
  });

  test("are given up when no SETTINGS come within 10 s of the dial", async () => {
    const server = serveHttp2({ mute: true });
    const status = statusOf(client(server.port), 60_000);
    const peer = await server.nth(1);
    clock.advance(10_000);
    expect(await status).toEqual({ code: grpc.status.UNAVAILABLE, message: "no connection within 10 s" });
    await peer.closed.promise;
  });

  test("are given up when a ping is not answered within 20 s", async () => {
    const server = serveHttp2({ mute: true });
    const made = client(server.port);
    const ended = Promise.withResolvers<GrpcStatus>();
    const opened = made.open(METHODS.pushReports, { onMessage: () => undefined, onEnd: ended.resolve });
    const peer = await server.nth(1);
    peer.write(frames.settings());
    await opened;
    clock.advance(30_000);
    clock.advance(20_000);
    expect(await ended.promise).toMatchObject({ code: grpc.status.UNAVAILABLE });
    await peer.closed.promise;
  });

  test("that say GOAWAY finish what is open and take no new call", async () => {
    const server = serveHttp2({ serve: (stream) => answer(stream) });
    const made = client(server.port);
    const ended = Promise.withResolvers<GrpcStatus>();
    const observer = { onMessage: () => undefined, onEnd: ended.resolve };
    const call = await made.open(METHODS.pushReports, observer);
    const first = await server.nth(1);
    await first.log.until(/request/);
    first.connection.goAway();
    // Until it has come, calls still go there.
    while (server.peers.length < 2) {
      const probe = await made.open(METHODS.pushReports, { ...observer, onEnd: () => undefined });
      await new Promise((resolve) => setImmediate(resolve));
      if (server.peers.length < 2) probe.cancel();
    }
    const second = await server.nth(2);
    await second.log.until(/request/);
    call.cancel();
    await first.log.until(/^close/);
    expect(second.log.events).not.toContain("close");
  });

  test("that say GOAWAY end too when the client is disposed", async () => {
    const server = serveHttp2({ serve: (stream) => answer(stream) });
    const made = client(server.port);
    const ended = Promise.withResolvers<GrpcStatus>();
    await made.open(METHODS.pushReports, { onMessage: () => undefined, onEnd: ended.resolve });
    const first = await server.nth(1);
    await first.log.until(/request/);
    const settled = new Promise<void>((resolve) => first.connection.ping(resolve));
    first.connection.goAway();
    await settled;
    made[Symbol.dispose]();
    expect(await ended.promise).toMatchObject({ code: grpc.status.UNAVAILABLE });
    await first.closed.promise;
  });

  test("end with every call when the client is disposed", async () => {
    const { port } = await serve({});
    const made = client(port);
    const ended = Promise.withResolvers<GrpcStatus>();
    await made.open(METHODS.pushReports, { onMessage: () => undefined, onEnd: ended.resolve });
    made[Symbol.dispose]();
    expect(await ended.promise).toMatchObject({ code: grpc.status.UNAVAILABLE });
    expect(await statusOf(made)).toEqual({ code: grpc.status.UNAVAILABLE, message: "the client is closed" });
  });
});

/** A gRPC response head without an end. */
function answer(stream: Http2Stream): undefined {
  stream.respond([
    [":status", "200"],
    ["content-type", "application/grpc"],
  ]);
  return undefined;
}

test("a callback that throws ends the connection, and the defect is not lost", async () => {
  const defect = Promise.withResolvers<Error>();
  reportDefects(defect.resolve);
  cleanups.push(() => reportDefects(() => undefined));
  const { port } = await serve({ push: (stream) => void stream.write({ sequence: 1 }) });
  const ended = Promise.withResolvers<GrpcStatus>();
  await client(port).open(METHODS.pushReports, {
    onMessage: () => {
      throw new Error("the observer is broken");
    },
    onEnd: ended.resolve,
  });
  expect((await defect.promise).message).toBe("the observer is broken");
  expect(await ended.promise).toMatchObject({ code: 13 });
});

describe("an answer that is no gRPC", () => {
  const cases: [string, GrpcStatus, (stream: Http2Stream) => void][] = [
    ["HTTP 401", { code: 16, message: "HTTP status 401" }, (stream) => stream.respond([[":status", "401"]], true)],
    ["HTTP 403", { code: 7, message: "HTTP status 403" }, (stream) => stream.respond([[":status", "403"]], true)],
    ["HTTP 404", { code: 12, message: "HTTP status 404" }, (stream) => stream.respond([[":status", "404"]], true)],
    ["HTTP 503", { code: 14, message: "HTTP status 503" }, (stream) => stream.respond([[":status", "503"]], true)],
    ["HTTP 500", { code: 2, message: "HTTP status 500" }, (stream) => stream.respond([[":status", "500"]], true)],
    [
      "a web page",
      { code: 2, message: "not a gRPC response" },
      (stream) =>
        stream.respond(
          [
            [":status", "200"],
            ["content-type", "text/html"],
          ],
          true,
        ),
    ],
    [
      "no status",
      { code: 2, message: "the answer had no status" },
      (stream) => {
        answer(stream);
        stream.end();
      },
    ],
    [
      "half a message",
      { code: 13, message: "the answer was cut short" },
      (stream) => {
        answer(stream);
        stream.write(Uint8Array.of(0, 0, 0, 0, 9, 1));
        stream.end([["grpc-status", "0"]]);
      },
    ],
    [
      "a status that is no number",
      { code: 2, message: "no grpc-status" },
      (stream) =>
        stream.respond(
          [
            [":status", "200"],
            ["content-type", "application/grpc"],
            ["grpc-status", "ok"],
          ],
          true,
        ),
    ],
    [
      "OK without a message",
      { code: 13, message: "no message" },
      (stream) =>
        stream.respond(
          [
            [":status", "200"],
            ["content-type", "application/grpc"],
            ["grpc-status", "0"],
          ],
          true,
        ),
    ],
    ["a refused stream", { code: 14, message: "the stream was refused" }, (stream) => stream.reset(7)],
    ["a calming reset", { code: 8, message: "too many requests" }, (stream) => stream.reset(11)],
    ["another reset", { code: 13, message: "the stream was reset with code 2" }, (stream) => stream.reset(2)],
  ];
  test.each(cases)("%s becomes a status", async (_name, status, respond) => {
    const server = serveHttp2({
      serve: (stream) => {
        respond(stream);
        return undefined;
      },
    });
    expect(await statusOf(client(server.port))).toEqual(status);
  });

  test("HTTP/2 that breaks the rules ends the connection and the call", async () => {
    const server = serveHttp2({ mute: true });
    const made = client(server.port);
    const ended = Promise.withResolvers<GrpcStatus>();
    const opened = made.open(METHODS.pushReports, { onMessage: () => undefined, onEnd: ended.resolve });
    const peer = await server.nth(1);
    peer.write(frames.settings());
    await opened;
    peer.write(frame("DATA", 0, 0));
    expect(await ended.promise).toEqual({ code: 13, message: "the stream was reset with code 1" });
    await peer.closed.promise;
  });
});

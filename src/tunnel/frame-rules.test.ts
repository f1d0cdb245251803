/** What each frame costs a peer that breaks a rule with it, and what must be forgiven. */
import { describe, expect, test } from "bun:test";
import { frame, frames, Http2Peer, uint32 } from "../testkit/http2-peer.ts";
import { ERROR_CODES, type HeaderList } from "./index.ts";

const GET: HeaderList = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "web"],
];
const CONNECT: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.9:80"],
];
const OK: HeaderList = [[":status", "200"]];
const E = ERROR_CODES;

describe("a connection error", () => {
  const cases: readonly (readonly [name: string, code: number, bytes: readonly Buffer[]])[] = [
    ["DATA on stream 0 (RFC 9113 §6.1)", E.PROTOCOL_ERROR, [frames.data(0, "x")]],
    ["DATA on an idle stream (RFC 9113 §5.1)", E.PROTOCOL_ERROR, [frames.data(1, "x")]],
    ["padding as long as the DATA frame (RFC 9113 §6.1)", E.PROTOCOL_ERROR, [frame("DATA", 8, 1, Buffer.from([1]))]],
    ["a padded DATA frame of no bytes (RFC 9113 §6.1)", E.FRAME_SIZE_ERROR, [frame("DATA", 8, 1)]],
    ["HEADERS on stream 0 (RFC 9113 §6.2)", E.PROTOCOL_ERROR, [frames.headers(0, GET)]],
    ["HEADERS on an even stream (RFC 9113 §5.1.1)", E.PROTOCOL_ERROR, [frames.headers(2, GET)]],
    [
      "HEADERS on a stream below the last (RFC 9113 §5.1.1)",
      E.PROTOCOL_ERROR,
      [frames.headers(5, GET), frames.headers(3, GET)],
    ],
    [
      "padding longer than the HEADERS frame (RFC 9113 §6.2)",
      E.PROTOCOL_ERROR,
      [frame("HEADERS", 4 | 8, 1, Buffer.from([5, 0x82]))],
    ],
    [
      "HEADERS too short for its priority (RFC 9113 §6.2)",
      E.FRAME_SIZE_ERROR,
      [frame("HEADERS", 4 | 0x20, 1, Buffer.from([0, 0, 0, 0]))],
    ],
    [
      "a field block that is no HPACK (RFC 9113 §4.3)",
      E.COMPRESSION_ERROR,
      [frame("HEADERS", 5, 1, Buffer.from([0x80]))],
    ],
    ["PRIORITY on stream 0 (RFC 9113 §6.3)", E.PROTOCOL_ERROR, [frame("PRIORITY", 0, 0, Buffer.alloc(5))]],
    [
      "PRIORITY of 4 bytes on an idle stream, which RST_STREAM may not name (RFC 9113 §6.3, §6.4)",
      E.FRAME_SIZE_ERROR,
      [frame("PRIORITY", 0, 1, Buffer.alloc(4))],
    ],
    ["RST_STREAM on stream 0 (RFC 9113 §6.4)", E.PROTOCOL_ERROR, [frames.reset(0, 8)]],
    ["RST_STREAM on an idle stream (RFC 9113 §6.4)", E.PROTOCOL_ERROR, [frames.reset(1, 8)]],
    ["RST_STREAM of 3 bytes (RFC 9113 §6.4)", E.FRAME_SIZE_ERROR, [frame("RST_STREAM", 0, 1, Buffer.alloc(3))]],
    ["SETTINGS on a stream (RFC 9113 §6.5)", E.PROTOCOL_ERROR, [frame("SETTINGS", 0, 1)]],
    ["SETTINGS of 5 bytes (RFC 9113 §6.5)", E.FRAME_SIZE_ERROR, [frame("SETTINGS", 0, 0, Buffer.alloc(5))]],
    ["SETTINGS ACK with a payload (RFC 9113 §6.5)", E.FRAME_SIZE_ERROR, [frame("SETTINGS", 1, 0, Buffer.alloc(6))]],
    ["ENABLE_PUSH of 2 (RFC 9113 §6.5.2)", E.PROTOCOL_ERROR, [frames.settings([2, 2])]],
    ["INITIAL_WINDOW_SIZE of 2^31 (RFC 9113 §6.5.2)", E.FLOW_CONTROL_ERROR, [frames.settings([4, 2 ** 31])]],
    ["MAX_FRAME_SIZE of 16,383 (RFC 9113 §6.5.2)", E.PROTOCOL_ERROR, [frames.settings([5, 16_383])]],
    ["MAX_FRAME_SIZE of 2^24 (RFC 9113 §6.5.2)", E.PROTOCOL_ERROR, [frames.settings([5, 2 ** 24])]],
    ["PUSH_PROMISE (RFC 9113 §8.4)", E.PROTOCOL_ERROR, [frame("PUSH_PROMISE", 4, 1, uint32(2))]],
    ["PING on a stream (RFC 9113 §6.7)", E.PROTOCOL_ERROR, [frame("PING", 0, 1, Buffer.alloc(8))]],
    ["PING of 7 bytes (RFC 9113 §6.7)", E.FRAME_SIZE_ERROR, [frame("PING", 0, 0, Buffer.alloc(7))]],
    ["GOAWAY on a stream (RFC 9113 §6.8)", E.PROTOCOL_ERROR, [frame("GOAWAY", 0, 1, uint32(0, 0))]],
    ["GOAWAY of 7 bytes (RFC 9113 §6.8)", E.FRAME_SIZE_ERROR, [frame("GOAWAY", 0, 0, Buffer.alloc(7))]],
    ["WINDOW_UPDATE of 0 for the connection (RFC 9113 §6.9)", E.PROTOCOL_ERROR, [frames.windowUpdate(0, 0)]],
    ["WINDOW_UPDATE on an idle stream (RFC 9113 §5.1)", E.PROTOCOL_ERROR, [frames.windowUpdate(1, 1)]],
    ["WINDOW_UPDATE of 3 bytes (RFC 9113 §6.9)", E.FRAME_SIZE_ERROR, [frame("WINDOW_UPDATE", 0, 0, Buffer.alloc(3))]],
    [
      "a window of the connection above 2^31-1 (RFC 9113 §6.9.1)",
      E.FLOW_CONTROL_ERROR,
      [frames.windowUpdate(0, 0x7fff_ffff)],
    ],
    [
      "INITIAL_WINDOW_SIZE that lifts an open stream above 2^31-1 (RFC 9113 §6.9.2)",
      E.FLOW_CONTROL_ERROR,
      [frames.headers(1, GET), frames.windowUpdate(1, 1000), frames.settings([4, 0x7fff_ffff])],
    ],
    ["CONTINUATION without HEADERS (RFC 9113 §6.10)", E.PROTOCOL_ERROR, [frame("CONTINUATION", 4, 1)]],
    [
      "another frame inside a field block (RFC 9113 §4.3)",
      E.PROTOCOL_ERROR,
      [frame("HEADERS", 0, 1, Buffer.from([0x82])), frames.ping("12345678")],
    ],
    [
      "CONTINUATION of another stream (RFC 9113 §6.10)",
      E.PROTOCOL_ERROR,
      [frame("HEADERS", 0, 1, Buffer.from([0x82])), frame("CONTINUATION", 4, 3)],
    ],
    [
      "a frame above our MAX_FRAME_SIZE (RFC 9113 §4.2)",
      E.FRAME_SIZE_ERROR,
      [frame("PING", 0, 0, Buffer.alloc(16_385))],
    ],
  ];
  test.each(cases)("is %s", async (_name, code, bytes) => {
    const peer = await Http2Peer.ready("server");
    await peer.send(...bytes);
    expect(peer.verdict()).toBe(code);
    expect(peer.log.closeError?.errorCode).toBe(code);
    expect(peer.log.take().filter((event) => event.startsWith("close")).length).toBe(1);
    expect(peer.state).toBe("closed");
  });

  test("is another preface (RFC 9113 §3.4)", async () => {
    const peer = new Http2Peer("server");
    await peer.send(Buffer.from("GET / HTTP/1.1\r\nHost: web\r\n\r\n"));
    expect(peer.verdict()).toBe(E.PROTOCOL_ERROR);
  });

  test("is a first frame other than SETTINGS, also its ACK (RFC 9113 §3.4)", async () => {
    for (const first of [frames.ping("12345678"), frames.settingsAck(), frame("DATA", 0, 1, Buffer.alloc(1))]) {
      const peer = new Http2Peer("client");
      await peer.send(first);
      expect(peer.verdict()).toBe(E.PROTOCOL_ERROR);
    }
  });

  test("is ENABLE_PUSH of 1 from a server (RFC 9113 §6.5.2)", async () => {
    const peer = new Http2Peer("client");
    await peer.send(frames.settings([2, 1]));
    expect(peer.verdict()).toBe(E.PROTOCOL_ERROR);
  });

  test("is HEADERS from a server on a stream that no request opened (RFC 9113 §5.1.1)", async () => {
    for (const stream of [1, 2]) {
      const peer = await Http2Peer.ready("client");
      await peer.send(frames.headers(stream, OK));
      expect(peer.verdict()).toBe(E.PROTOCOL_ERROR);
    }
  });

  test("is DATA beyond the window of the connection (RFC 9113 §6.9.1)", async () => {
    const peer = await Http2Peer.ready("server", { streamWindow: 65_535, connectionWindow: 65_535 });
    peer.log.consumes = false;
    const chunk = Buffer.alloc(16_384);
    await peer.send(frames.headers(1, CONNECT), frames.headers(3, CONNECT));
    await peer.send(
      frames.data(1, chunk),
      frames.data(1, chunk),
      frames.data(3, chunk),
      frames.data(3, Buffer.alloc(16_383)),
    );
    expect(peer.connection.closed).toBe(false);
    await peer.send(frames.data(3, "x"));
    expect(peer.verdict()).toBe(E.FLOW_CONTROL_ERROR);
  });

  test("is DATA or HEADERS on a stream that ended both ways (RFC 9113 §5.1)", async () => {
    for (const late of [frames.data(1, "x"), frames.headers(1, [["a", "b"]], true)]) {
      const peer = await Http2Peer.ready("server");
      peer.log.serve = (stream) => {
        stream.respond(OK, true);
        return peer.log;
      };
      await peer.send(frames.headers(1, GET, true));
      await peer.send(late);
      expect(peer.verdict()).toBe(E.STREAM_CLOSED);
    }
  });
});

describe("a stream error", () => {
  const request = (extra: HeaderList, base: HeaderList = GET, end = false) =>
    frames.headers(1, [...base, ...extra], end);
  const cases: readonly (readonly [name: string, code: number, bytes: readonly Buffer[]])[] = [
    ["WINDOW_UPDATE of 0 on a stream (RFC 9113 §6.9)", E.PROTOCOL_ERROR, [request([]), frames.windowUpdate(1, 0)]],
    [
      "a window of a stream above 2^31-1 (RFC 9113 §6.9.1)",
      E.FLOW_CONTROL_ERROR,
      [request([]), frames.windowUpdate(1, 0x7fff_ffff)],
    ],
    ["DATA after END_STREAM (RFC 9113 §5.1)", E.STREAM_CLOSED, [request([], GET, true), frames.data(1, "x")]],
    [
      "HEADERS after END_STREAM (RFC 9113 §5.1)",
      E.STREAM_CLOSED,
      [request([], GET, true), frames.headers(1, [["a", "b"]], true)],
    ],
    [
      "DATA after RST_STREAM by the peer (RFC 9113 §5.1)",
      E.STREAM_CLOSED,
      [request([]), frames.reset(1, 8), frames.data(1, "x")],
    ],
    [
      "PRIORITY of 4 bytes (RFC 9113 §6.3)",
      E.FRAME_SIZE_ERROR,
      [request([]), frame("PRIORITY", 0, 1, Buffer.alloc(4))],
    ],
    [
      "trailers that do not end the stream (RFC 9113 §8.1)",
      E.PROTOCOL_ERROR,
      [request([]), frames.headers(1, [["a", "b"]])],
    ],
    [
      "trailers with a pseudo-header (RFC 9113 §8.1)",
      E.PROTOCOL_ERROR,
      [request([]), frames.headers(1, [[":status", "200"]], true)],
    ],
    [
      "HEADERS inside a tunnel (RFC 9113 §8.5)",
      E.PROTOCOL_ERROR,
      [request([], CONNECT), frames.headers(1, [["a", "b"]], true)],
    ],
    [
      "more content than content-length (RFC 9113 §8.1.1)",
      E.PROTOCOL_ERROR,
      [request([["content-length", "3"]]), frames.data(1, "four")],
    ],
    [
      "less content than content-length (RFC 9113 §8.1.1)",
      E.PROTOCOL_ERROR,
      [request([["content-length", "5"]]), frames.data(1, "four", true)],
    ],
    [
      "less content than content-length, ended by trailers (RFC 9113 §8.1.1)",
      E.PROTOCOL_ERROR,
      [request([["content-length", "5"]]), frames.headers(1, [["a", "b"]], true)],
    ],
    [
      "content-length without content (RFC 9113 §8.1.1)",
      E.PROTOCOL_ERROR,
      [request([["content-length", "5"]], GET, true)],
    ],
    ["a malformed request (RFC 9113 §8.1.1)", E.PROTOCOL_ERROR, [request([["Upper", "case"]])]],
  ];
  test.each(cases)("is %s, and the connection goes on", async (_name, code, bytes) => {
    const peer = await Http2Peer.ready("server");
    await peer.send(...bytes, frames.headers(3, GET, true));
    expect(peer.seen().filter((frame) => frame.startsWith("1 RST_STREAM"))).toEqual([`1 RST_STREAM ${code}`]);
    expect(peer.connection.closed).toBe(false);
    const events = peer.log.take();
    expect(events).toContain("3 end");
    expect(events.filter((event) => event.startsWith("1 error")).length).toBe(1);
    const own = events.filter((event) => event.startsWith("1 ") && !event.startsWith("1 error"));
    expect(own.filter((event) => event.startsWith("1 reset")).length).toBe(own.length === 0 ? 0 : 1);
    expect(own.at(-1)?.startsWith("1 reset") ?? true).toBe(true);
  });

  test("is DATA beyond the stream's window (RFC 9113 §6.9.1)", async () => {
    const peer = await Http2Peer.ready("server", { streamWindow: 65_535 });
    peer.log.consumes = false;
    const chunk = Buffer.alloc(16_384);
    await peer.send(frames.headers(1, CONNECT), frames.data(1, chunk), frames.data(1, chunk), frames.data(1, chunk));
    await peer.send(frames.data(1, chunk));
    expect(peer.seen()).toEqual([`1 RST_STREAM ${E.FLOW_CONTROL_ERROR}`]);
  });

  test("is DATA before the response head (RFC 9113 §8.1)", async () => {
    const peer = await Http2Peer.ready("client");
    peer.connection.request(CONNECT, peer.log);
    await peer.send(frames.data(1, "x"));
    expect(peer.seen().at(-1)).toBe(`1 RST_STREAM ${E.PROTOCOL_ERROR}`);
    expect(peer.log.take()).toEqual(["1 error protocol-error", `1 reset ${E.PROTOCOL_ERROR}`]);
  });

  test.each([
    ["without :status (RFC 9113 §8.3.2)", [["a", "b"]], false],
    ["of 101 (RFC 9113 §8.6)", [[":status", "101"]], false],
    ["that is interim and ends the stream (RFC 9113 §8.1)", [[":status", "103"]], true],
    [
      "with connection-specific fields (RFC 9113 §8.2.2)",
      [
        [":status", "200"],
        ["connection", "close"],
      ],
      false,
    ],
  ] as const)("is a response %s", async (_name, head, end) => {
    const peer = await Http2Peer.ready("client");
    peer.connection.request(GET, peer.log, true);
    await peer.send(frames.headers(1, head, end));
    expect(peer.log.take()).toEqual(["1 error protocol-error", `1 reset ${E.PROTOCOL_ERROR}`]);
  });
});

describe("56: forgiven", () => {
  test("are PRIORITY on any stream, unknown types and unknown settings (RFC 9113 §5.3.2, §5.5, §6.5.2)", async () => {
    const peer = await Http2Peer.ready("server");
    await peer.send(
      frame("PRIORITY", 0, 9, Buffer.alloc(5)),
      frame(0xfa, 0xff, 0, Buffer.alloc(20)),
      frames.settings([0xaa, 7]),
    );
    expect(peer.seen()).toEqual(["SETTINGS ack"]);
  });

  test("are unknown frames of any length that our SETTINGS allow, cut anywhere: they are skipped (RFC 9113 §5.5)", async () => {
    const peer = await Http2Peer.ready("server");
    const bytes = Buffer.concat([frame(0xfa, 0, 0, Buffer.alloc(256 * 1024)), frames.ping("12345678")]);
    for (let at = 0; at < bytes.length; at += 50_000) await peer.send(bytes.subarray(at, at + 50_000));
    expect(peer.seen()).toEqual(["PING ack"]);
  });

  test("are the reserved bit, padding and priority of HEADERS (RFC 9113 §4.1, §6.2)", async () => {
    const peer = await Http2Peer.ready("server");
    const block = frames.headers(1, GET).subarray(9);
    const payload = Buffer.concat([Buffer.from([3]), uint32(0), Buffer.from([15]), block, Buffer.alloc(3)]);
    await peer.send(frame("HEADERS", 4 | 8 | 0x20 | 1, 0x8000_0001, payload));
    expect(peer.log.take()).toEqual(["1 request :method=GET :scheme=https :path=/ :authority=web end-stream", "1 end"]);
  });

  test("is padding of DATA, which counts for flow control and is given back (RFC 9113 §6.1)", async () => {
    const peer = await Http2Peer.ready("server", { streamWindow: 65_535, connectionWindow: 65_535 });
    const padded = frame("DATA", 8, 1, Buffer.concat([Buffer.from([200]), Buffer.from("hello"), Buffer.alloc(200)]));
    await peer.send(frames.headers(1, CONNECT), ...Array.from({ length: 300 }, () => padded));
    expect(peer.log.received.get(1)?.toString()).toBe("hello".repeat(300));
    const given = peer.seen().filter((frame) => frame.startsWith("WINDOW_UPDATE"));
    expect(given.reduce((sum, frame) => sum + Number(frame.split(" ")[1]), 0)).toBeGreaterThan(32_000);
  });

  test("are frames on a stream that we reset, and their DATA goes back to the connection (RFC 9113 §5.1)", async () => {
    const peer = await Http2Peer.ready("server", { streamWindow: 65_535, connectionWindow: 65_535 });
    await peer.send(frames.headers(1, CONNECT));
    peer.log.streams[0]?.reset(E.CANCEL);
    const chunk = Buffer.alloc(16_384);
    for (let i = 0; i < 10; i++) await peer.send(frames.data(1, chunk), frames.windowUpdate(1, 5));
    await peer.send(frames.headers(1, [["a", "b"]], true), frames.reset(1, 8));
    expect(peer.connection.closed).toBe(false);
    expect(peer.log.take()).toEqual(["1 request :method=CONNECT :authority=10.0.0.9:80"]);
    const given = peer.seen().filter((frame) => frame.startsWith("WINDOW_UPDATE"));
    expect(given.reduce((sum, frame) => sum + Number(frame.split(" ")[1]), 0)).toBeGreaterThanOrEqual(8 * 16_384);
  });

  test("is DATA in flight for a stream that we reset a thousand resets ago (RFC 9113 §5.1)", async () => {
    const peer = await Http2Peer.ready("server");
    peer.log.serve = (stream) => {
      stream.reset(E.CANCEL);
      return undefined;
    };
    for (let id = 1; id < 2000; id += 2) peer.connection.receive(frames.headers(id, CONNECT));
    for (let id = 1; id < 2000; id += 2) peer.connection.receive(frames.data(id, "x"));
    await peer.turn();
    expect(peer.connection.closed).toBe(false);
  });

  test("is a HEAD or 304 response that announces a length and has no content (RFC 9110 §8.6)", async () => {
    const peer = await Http2Peer.ready("client");
    peer.connection.request([[":method", "HEAD"], ...GET.slice(1)], peer.log, true);
    peer.connection.request(GET, peer.log, true);
    await peer.send(
      frames.headers(
        1,
        [
          [":status", "200"],
          ["content-length", "10"],
        ],
        true,
      ),
      frames.headers(
        3,
        [
          [":status", "304"],
          ["content-length", "10"],
        ],
        true,
      ),
    );
    expect(peer.log.take().filter((event) => event.endsWith("end"))).toEqual(["1 end", "3 end"]);
  });

  test("is an interim response, which is not reported (RFC 9113 §8.1)", async () => {
    const peer = await Http2Peer.ready("client");
    peer.connection.request(GET, peer.log, true);
    await peer.send(frames.headers(1, [[":status", "103"]]), frames.headers(1, OK, true));
    expect(peer.log.take()).toEqual(["1 head :status=200 end-stream", "1 end"]);
  });
});

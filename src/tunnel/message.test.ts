import { describe, expect, test } from "bun:test";
import type { HeaderList } from "./handlers.ts";
import { judgeRequest, judgeResponse, trailersFault } from "./message.ts";

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
const without = (name: string): HeaderList => GET.filter(([other]) => other !== name);

describe("a request", () => {
  test.each<readonly [string, HeaderList]>([
    ["without :method (RFC 9113 §8.3.1)", without(":method")],
    ["without :scheme (RFC 9113 §8.3.1)", without(":scheme")],
    ["without :path (RFC 9113 §8.3.1)", without(":path")],
    ["with an empty :path (RFC 9113 §8.3.1)", [...without(":path"), [":path", ""]]],
    ["with a :path that does not begin with / (RFC 9113 §8.3.1)", [...without(":path"), [":path", "index"]]],
    ["with :path * and another method than OPTIONS (RFC 9113 §8.3.1)", [...without(":path"), [":path", "*"]]],
    ["with :method twice (RFC 9113 §8.3)", [...GET, [":method", "GET"]]],
    ["with a pseudo-header after a field (RFC 9113 §8.3)", [["a", "b"], ...GET]],
    ["with :status (RFC 9113 §8.3)", [...GET, [":status", "200"]]],
    ["with :protocol, which we do not offer (RFC 8441 §4)", [...CONNECT, [":protocol", "websocket"]]],
    ["with user information in :authority (RFC 9113 §8.3.1)", [...without(":authority"), [":authority", "me@web"]]],
    ["with a host that differs from :authority (RFC 9113 §8.3.1)", [...GET, ["host", "other"]]],
    ["CONNECT with :path (RFC 9113 §8.5)", [...CONNECT, [":path", "/"]]],
    ["CONNECT with :scheme (RFC 9113 §8.5)", [...CONNECT, [":scheme", "https"]]],
    ["CONNECT without :authority (RFC 9113 §8.5)", [[":method", "CONNECT"]]],
    ["with an upper-case name (RFC 9113 §8.2.1)", [...GET, ["Accept", "x"]]],
    ["with an empty name (RFC 9113 §8.2.1)", [...GET, ["", "x"]]],
    ["with a space in a name (RFC 9113 §8.2.1)", [...GET, ["a b", "x"]]],
    ["with a colon inside a name (RFC 9113 §8.2.1)", [...GET, ["a:b", "x"]]],
    ["with an octet above 0x7e in a name (RFC 9113 §8.2.1)", [...GET, ["\u00e4", "x"]]],
    ["with NUL in a value (RFC 9113 §8.2.1)", [...GET, ["a", "x\0y"]]],
    ["with a line feed in a value (RFC 9113 §8.2.1)", [...GET, ["a", "x\ny"]]],
    ["with a carriage return in a value (RFC 9113 §8.2.1)", [...GET, ["a", "x\ry"]]],
    ["with a space before a value (RFC 9113 §8.2.1)", [...GET, ["a", " x"]]],
    ["with a tab after a value (RFC 9113 §8.2.1)", [...GET, ["a", "x\t"]]],
    ["with connection (RFC 9113 §8.2.2)", [...GET, ["connection", "keep-alive"]]],
    ["with transfer-encoding (RFC 9113 §8.2.2)", [...GET, ["transfer-encoding", "chunked"]]],
    ["with upgrade (RFC 9113 §8.2.2)", [...GET, ["upgrade", "h2c"]]],
    ["with a te other than trailers (RFC 9113 §8.2.2)", [...GET, ["te", "gzip"]]],
    ["with a content-length that is no number (RFC 9110 §8.6)", [...GET, ["content-length", "+3"]]],
    [
      "with two content-lengths that differ (RFC 9110 §8.6)",
      [...GET, ["content-length", "3"], ["content-length", "4"]],
    ],
  ])("%s is malformed", (_why, headers) => {
    expect(judgeRequest(headers).malformed).toBeString();
  });

  test.each<readonly [string, HeaderList, boolean, number]>([
    ["in the ordinary form", GET, false, -1],
    [
      "OPTIONS * (RFC 9113 §8.3.1)",
      [
        [":method", "OPTIONS"],
        [":scheme", "http"],
        [":path", "*"],
      ],
      false,
      -1,
    ],
    ["with te: trailers, as gRPC has it (RFC 9113 §8.2.2)", [...GET, ["te", "trailers"]], false, -1],
    [
      "with the same host and content-length twice",
      [...GET, ["host", "web"], ["content-length", "3"], ["content-length", "3"]],
      false,
      3,
    ],
    ["CONNECT as HBONE sends it (RFC 9113 §8.5)", [...CONNECT, ["baggage", "k=v"]], true, -1],
    ["with a tab and high octets inside a value (RFC 9110 §5.5)", [...GET, ["a", "x\ty\u00e4"]], false, -1],
  ])("%s is fine", (_why, headers, connect, contentLength) => {
    expect(judgeRequest(headers)).toEqual({ malformed: undefined, head: { connect, contentLength } });
  });
});

describe("a response", () => {
  test.each<readonly [string, HeaderList]>([
    ["without :status (RFC 9113 §8.3.2)", [["a", "b"]]],
    [
      "with two :status (RFC 9113 §8.3)",
      [
        [":status", "200"],
        [":status", "200"],
      ],
    ],
    ["with :status of two digits (RFC 9110 §15)", [[":status", "20"]]],
    ["with :status 600 (RFC 9110 §15)", [[":status", "600"]]],
    ["with 101 (RFC 9113 §8.6)", [[":status", "101"]]],
    [
      "with a pseudo-header of requests (RFC 9113 §8.3)",
      [
        [":status", "200"],
        [":path", "/"],
      ],
    ],
    [
      "with :status after a field (RFC 9113 §8.3)",
      [
        ["a", "b"],
        [":status", "200"],
      ],
    ],
    [
      "with a wrong content-length (RFC 9110 §8.6)",
      [
        [":status", "200"],
        ["content-length", ""],
      ],
    ],
  ])("%s is malformed", (_why, headers) => {
    expect(judgeResponse(headers).malformed).toBeString();
  });

  test("tells status and content-length (RFC 9113 §8.3.2)", () => {
    expect(
      judgeResponse([
        [":status", "503"],
        ["content-length", "12"],
      ]),
    ).toEqual({
      malformed: undefined,
      head: { status: 503, contentLength: 12 },
    });
  });
});

test("trailers hold regular fields only (RFC 9113 §8.1)", () => {
  expect(trailersFault([["grpc-status", "0"]])).toBeUndefined();
  expect(trailersFault([[":status", "200"]])).toBeString();
  expect(trailersFault([["connection", "close"]])).toBeString();
});

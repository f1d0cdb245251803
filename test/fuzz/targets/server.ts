/** The server of tunnel/ and a client that says anything. */
import { frame, frames } from "../../../src/testkit/http2-peer.ts";
import type { HeaderList } from "../../../src/tunnel/index.ts";
import { connectionTarget, headersWith } from "../http2-harness.ts";
import type { Target } from "../target.ts";

const CONNECT: HeaderList = [
  [":method", "CONNECT"],
  [":authority", "10.0.0.9:80"],
];
const POST: HeaderList = [
  [":method", "POST"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "a"],
  ["content-length", "9"],
];

export const target: Target = connectionTarget("server", [
  [frames.headers(1, CONNECT), frames.data(1, "some data"), frames.data(1, "", true), frames.ping("ABCDEFGH")],
  [
    frames.headers(1, POST),
    frames.data(1, "some"),
    frames.windowUpdate(1, 10),
    frames.data(1, " data"),
    frames.headers(1, [["a", "b"]], true),
  ],
  [frames.headers(1, CONNECT), frames.reset(1, 8), frames.headers(3, CONNECT), frames.goAway(0, 0)],
  [
    headersWith(0x2c, 1, CONNECT, "\x02\0\0\0\0\x10", "\0\0"),
    frames.settings([4, 0], [1, 100]),
    frames.data(1, "some data"),
  ],
  [
    frame("HEADERS", 0, 1, Buffer.from("8286", "hex")),
    frame("CONTINUATION", 4, 1, Buffer.from("8441016188", "hex")),
    frames.windowUpdate(0, 1000),
    frame("PRIORITY", 0, 1, Buffer.alloc(5)),
  ],
]);

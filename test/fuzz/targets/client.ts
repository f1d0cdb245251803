/** The client of tunnel/, with requests under way, and a server that says anything. */
import { frame, frames } from "../../../src/testkit/http2-peer.ts";
import type { HeaderList } from "../../../src/tunnel/index.ts";
import { connectionTarget } from "../http2-harness.ts";
import type { Target } from "../target.ts";

const OK: HeaderList = [[":status", "200"]];

export const target: Target = connectionTarget("client", [
  [frames.headers(1, OK), frames.data(1, "some data"), frames.data(1, "", true), frames.ping("ABCDEFGH")],
  [
    frames.headers(1, [[":status", "100"]]),
    frames.headers(1, [...OK, ["content-length", "4"]]),
    frames.data(1, "some", true),
  ],
  [
    frames.headers(3, [[":status", "503"]]),
    frames.data(3, "no"),
    frames.headers(3, [["a", "b"]], true),
    frames.reset(1, 7),
  ],
  [frames.settings([3, 1], [4, 0]), frames.windowUpdate(1, 50), frames.windowUpdate(0, 50), frames.goAway(1, 0)],
  [frame("PUSH_PROMISE", 4, 1, Buffer.from("0000000282", "hex")), frames.headers(5, OK, true)],
]);

/** Changes of a sequence of HTTP/2 frames in which each stays a frame. */
import { cutFrames, frame, frames, type RawFrame } from "../../src/testkit/http2-peer.ts";
import type { HeaderList } from "../../src/tunnel/index.ts";
import type { Dice } from "./dice.ts";
import { mutateBytes, mutateList } from "./mutate.ts";
import { bytesOf } from "./target.ts";

const TYPES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY"] as const;
const STREAMS = [0, 1, 1, 1, 3, 3, 5, 7, 2, 101, 0x7fff_ffff, 0x8000_0001];
const FLAGS = [0, 1, 4, 5, 8, 9, 0x0d, 0x20, 0x25, 0x2d, 0xff];
const NUMBERS = [0, 1, 2, 5, 100, 16_384, 65_535, 65_536, 70_000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

const GET = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "a"],
] as const;
const HEADS: readonly HeaderList[] = [
  GET,
  [
    [":method", "CONNECT"],
    [":authority", "10.0.0.9:80"],
  ],
  [...GET, ["content-length", "5"]],
  [...GET, ["te", "trailers"], ["host", "a"]],
  [[":status", "200"]],
  [
    [":status", "200"],
    ["content-length", "5"],
  ],
  [[":status", "100"]],
  [["trailer", "x"]],
  [...GET, ["x-long", "v".repeat(300)]],
];
const TOKENS = ["828684", "88", "41", "8be5c0", "3fe11f", "20", "00016103", "ffffffff"].map((hex) =>
  Buffer.from(hex, "hex"),
);

/** One frame more, less, changed or elsewhere; what is left behind the last whole frame stays there. */
export function mutateFrames(input: Uint8Array, dice: Dice): Uint8Array {
  const found: RawFrame[] = [];
  const rest = cutFrames(Buffer.from(input), found);
  const changed = mutateList(
    found.map(toBytes),
    dice,
    (one) => change(one, dice),
    () => fresh(dice),
  );
  return new Uint8Array(Buffer.concat([...changed, rest]));
}

function change(bytes: Buffer, dice: Dice): Buffer {
  const type = bytes[3] as number;
  const flags = bytes[4] as number;
  const stream = bytes.readUInt32BE(5);
  const payload = bytes.subarray(9);
  switch (dice.below(6)) {
    case 0:
      return frame(type, dice.once(2) ? dice.pick(FLAGS) : flags ^ (1 << dice.below(8)), stream, payload);
    case 1:
      return frame(type, flags, dice.pick(STREAMS), payload);
    case 2:
      return frame(dice.below(11), flags, stream, payload);
    case 3: {
      // Numbers of four bytes are what most frames hold.
      const at = dice.below(Math.max(1, payload.length - 3));
      const changed = Buffer.from(payload);
      if (changed.length >= 4) changed.writeUInt32BE(dice.pick(NUMBERS), Math.min(at, changed.length - 4));
      return frame(type, flags, stream, changed);
    }
    default:
      return frame(type, flags, stream, mutateBytes(payload, dice, TOKENS));
  }
}

function fresh(dice: Dice): Buffer {
  const stream = dice.pick(STREAMS);
  switch (dice.below(12)) {
    case 0:
      return frames.data(stream, dice.bytes(dice.below(20)), dice.once(3));
    case 1:
    case 2:
      return frames.headers(stream, dice.pick(HEADS), dice.once(2));
    case 3:
      return frames.reset(stream, dice.below(15));
    case 4:
      return frames.settings([1 + dice.below(7), dice.pick(NUMBERS)]);
    case 5:
      return frames.settingsAck();
    case 6:
      return frames.ping("ABCDEFGH", dice.once(3));
    case 7:
      return frames.goAway(dice.pick(STREAMS), dice.below(15));
    case 8:
      return frames.windowUpdate(stream, dice.pick(NUMBERS));
    case 9:
      return frame("CONTINUATION", dice.once(2) ? 4 : 0, stream, dice.pick(TOKENS));
    case 10:
      return frame(dice.pick(TYPES), dice.pick(FLAGS), stream, dice.bytes(dice.below(12)));
    default:
      return frame("HEADERS", dice.pick(FLAGS), stream, Buffer.from(bytesOf("\x02\0\0\0\0\x10")));
  }
}

function toBytes({ bytes }: RawFrame): Buffer {
  return bytes;
}

/** What a hostile member of the mesh does to a tunnel port, frame by frame: one entry an attack (dataplane study §5, §6 84–87). */
import { ERROR_CODES, encodeHeaders, type HeaderList } from "../tunnel/index.ts";
import { frame, frames } from "./http2-peer.ts";
import type { RawTunnel, RawTunnelOptions } from "./raw-tunnel.ts";

/** A port of the attacked pod where an application echoes. */
export interface AttackTarget {
  readonly ip: string;
  readonly port: number;
}

export interface Attack {
  readonly name: string;
  readonly lesson: string;
  /** How the attacker's own end differs from a proper one. */
  readonly peer?: Partial<RawTunnelOptions>;
  /** Resolves when all was sent or the tunnel is closed. */
  readonly run: (tunnel: RawTunnel, target: AttackTarget) => Promise<unknown>;
  /** The code of the GOAWAY that the attacker gets; its text must hold the second. */
  readonly verdict: readonly [code: number, text: string];
}

/** More than any budget lasts. */
const MANY = 20_000;
const FRAME = 16_384;
const E = ERROR_CODES;

export function connectHead({ ip, port }: AttackTarget): HeaderList {
  return [
    [":method", "CONNECT"],
    [":authority", ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`],
  ];
}

/** A flood of one frame, on a tunnel with stream 1 open. */
const flood = (one: Uint8Array) => async (tunnel: RawTunnel, target: AttackTarget) => {
  await tunnel.send(frames.headers(1, connectHead(target)));
  await tunnel.flood(MANY, () => one);
};

/** Streams that are opened one after the other, each followed by `then`. */
const onEach = (then: (stream: number) => Uint8Array) => async (tunnel: RawTunnel, target: AttackTarget) => {
  const head = connectHead(target);
  await tunnel.flood(MANY, (i) => Buffer.concat([frames.headers(2 * i + 1, head), then(2 * i + 1)]));
};

/** A field block that puts one field of 3,900 octets into the table, then names it `repeats` times with one octet each. */
function bomb(repeats: number): Buffer {
  const value = Buffer.alloc(3_900, "a");
  // RFC 7541 §6.2.1: a literal with incremental indexing, the length of its value as an integer of a 7-bit prefix (§5.1).
  const rest = value.length - 0x7f;
  const entry = Buffer.from([0x40, 1, 0x78, 0x7f, 0x80 | (rest & 0x7f), rest >> 7]);
  return Buffer.concat([entry, value, Buffer.alloc(repeats, 0x80 | 62)]);
}

export const ATTACKS: readonly Attack[] = [
  {
    name: "rapid reset",
    lesson: "CVE-2023-44487",
    run: onEach((stream) => frames.reset(stream, E.CANCEL)),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-received"],
  },
  {
    name: "resets that the proxy is made to send, by a window that overflows",
    lesson: "CVE-2025-8671 MadeYouReset",
    run: onEach((stream) => frames.windowUpdate(stream, 0x7fff_ffff)),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "resets that the proxy is made to send, by a WINDOW_UPDATE of 0",
    lesson: "CVE-2025-8671 MadeYouReset",
    run: onEach((stream) => frames.windowUpdate(stream, 0)),
    verdict: [E.ENHANCE_YOUR_CALM, "zero-window-update"],
  },
  {
    name: "resets that the proxy is made to send, by DATA after the end",
    lesson: "CVE-2025-8671 MadeYouReset",
    run: onEach((stream) => Buffer.concat([frames.data(stream, "", true), frames.data(stream, "x")])),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "resets that the proxy is made to send, by HEADERS in a tunnel",
    lesson: "CVE-2025-8671 MadeYouReset",
    run: onEach((stream) => frames.headers(stream, [["x", "y"]], true)),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "resets that the proxy is made to send, by PRIORITY of a wrong length",
    lesson: "CVE-2025-8671 MadeYouReset",
    run: onEach((stream) => frame("PRIORITY", 0, stream, Buffer.alloc(4))),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "a flood of SETTINGS",
    lesson: "CVE-2019-9515",
    run: flood(frames.settings()),
    verdict: [E.ENHANCE_YOUR_CALM, "settings"],
  },
  {
    name: "a flood of SETTINGS that resize the window of every stream",
    lesson: "CVE-2019-9515",
    run: async (tunnel, target) => {
      const head = connectHead(target);
      await tunnel.flood(500, (i) => frames.headers(2 * i + 1, head));
      await tunnel.flood(MANY, (i) => frames.settings([4, 1000 + (i % 2)]));
    },
    verdict: [E.ENHANCE_YOUR_CALM, "settings"],
  },
  {
    name: "a flood of PING",
    lesson: "CVE-2019-9512",
    run: flood(frames.ping("12345678")),
    verdict: [E.ENHANCE_YOUR_CALM, "ping"],
  },
  {
    name: "a flood of answers to PINGs that nobody sent",
    lesson: "CVE-2019-9512",
    run: flood(frames.ping("12345678", true)),
    verdict: [E.ENHANCE_YOUR_CALM, "ping"],
  },
  {
    name: "a flood of empty DATA",
    lesson: "CVE-2019-9518",
    run: flood(frames.data(1, "")),
    verdict: [E.ENHANCE_YOUR_CALM, "empty-data"],
  },
  {
    name: "a flood of DATA that is padding alone",
    lesson: "CVE-2019-9518",
    run: flood(frame("DATA", 8, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)]))),
    verdict: [E.ENHANCE_YOUR_CALM, "empty-data"],
  },
  {
    name: "a flood of empty DATA for a stream that the proxy has refused",
    lesson: "CVE-2019-9518",
    run: async (tunnel, { ip }) => {
      await tunnel.send(frames.headers(1, connectHead({ ip: `${ip}0`, port: 1 })));
      await tunnel.flood(MANY, () => frames.data(1, "", true));
    },
    verdict: [E.ENHANCE_YOUR_CALM, "late"],
  },
  {
    name: "a flood of WINDOW_UPDATE by 1 on the connection",
    lesson: "CVE-2019-9511 data dribble",
    run: flood(frames.windowUpdate(0, 1)),
    verdict: [E.ENHANCE_YOUR_CALM, "window-update"],
  },
  {
    name: "a flood of WINDOW_UPDATE by 1 on a stream",
    lesson: "CVE-2019-9511 data dribble",
    run: flood(frames.windowUpdate(1, 1)),
    verdict: [E.ENHANCE_YOUR_CALM, "window-update"],
  },
  {
    name: "a window that overflows on the connection",
    lesson: "RFC 9113 §6.9.1",
    run: flood(frames.windowUpdate(0, 0x7fff_ffff)),
    verdict: [E.FLOW_CONTROL_ERROR, "2^31-1"],
  },
  {
    name: "a field block in countless CONTINUATIONs",
    lesson: "CVE-2024-27316",
    run: async (tunnel) => {
      await tunnel.send(frame("HEADERS", 0, 1, Buffer.from([0x82])));
      await tunnel.flood(MANY, () => frame("CONTINUATION", 0, 1));
    },
    verdict: [E.ENHANCE_YOUR_CALM, "CONTINUATION"],
  },
  {
    name: "a field block in large CONTINUATIONs",
    lesson: "CVE-2024-30255",
    run: async (tunnel) => {
      await tunnel.send(frame("HEADERS", 0, 1, Buffer.alloc(FRAME, 0x82)));
      await tunnel.flood(MANY, () => frame("CONTINUATION", 0, 1, Buffer.alloc(FRAME, 0x82)));
    },
    verdict: [E.ENHANCE_YOUR_CALM, "CONTINUATION"],
  },
  {
    name: "field blocks that are large once decoded (HPACK bomb)",
    lesson: "CVE-2026-47774",
    run: (tunnel) => tunnel.flood(MANY, (i) => frame("HEADERS", 5, 2 * i + 1, bomb(12_000))),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "field blocks of countless fields",
    lesson: "CVE-2026-73550",
    run: (tunnel) => tunnel.flood(MANY, (i) => frame("HEADERS", 5, 2 * i + 1, Buffer.alloc(FRAME, 0x82))),
    verdict: [E.ENHANCE_YOUR_CALM, "reset-provoked"],
  },
  {
    name: "a field block that no decoder can read",
    lesson: "RFC 9113 §4.3",
    run: (tunnel) => tunnel.send(frame("HEADERS", 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))),
    verdict: [E.COMPRESSION_ERROR, "RFC 7541"],
  },
  {
    name: "a flood of PRIORITY",
    lesson: "CVE-2019-9513",
    run: flood(frame("PRIORITY", 0, 1, Buffer.alloc(5))),
    verdict: [E.ENHANCE_YOUR_CALM, "ignored"],
  },
  {
    name: "a flood of frames of an unknown type",
    lesson: "CVE-2019-9513",
    run: flood(frame(0xfa, 0, 1, Buffer.alloc(100))),
    verdict: [E.ENHANCE_YOUR_CALM, "ignored"],
  },
  {
    name: "a flood of RST_STREAM for one stream",
    lesson: "CVE-2019-9514",
    run: flood(frames.reset(1, E.CANCEL)),
    verdict: [E.ENHANCE_YOUR_CALM, "late"],
  },
  {
    name: "a flood of GOAWAY",
    lesson: "RFC 9113 §10.5",
    run: flood(frames.goAway(0, 0)),
    verdict: [E.ENHANCE_YOUR_CALM, "goaway"],
  },
  {
    name: "a frame that is larger than allowed",
    lesson: "RFC 9113 §4.2",
    run: flood(frame("DATA", 0, 1, Buffer.alloc(1 << 20))),
    verdict: [E.FRAME_SIZE_ERROR, "maximum"],
  },
];

/** What costs one stream alone: on the same tunnel others go on. */
export interface StreamAttack {
  readonly name: string;
  readonly lesson: string;
  /** The frames, for a stream that is new. */
  readonly frames: (stream: number, target: AttackTarget) => Uint8Array;
  /** How the stream is answered before it is reset; undefined when it is not. */
  readonly status?: string;
  readonly reset: number;
}

/** A request with one more field, which `field` writes as HPACK: no encoder lets it pass. */
function crooked(stream: number, target: AttackTarget, name: string, value: string): Buffer {
  const block = encodeHeaders(connectHead(target));
  const field = Buffer.concat([
    Buffer.from([0x00, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);
  return frame("HEADERS", 4, stream, Buffer.concat([block, field]));
}

/** As many frames as it takes. */
function longHeaders(stream: number, headers: HeaderList): Buffer {
  const block = Buffer.from(encodeHeaders(headers));
  const parts: Buffer[] = [];
  for (let at = 0; at < block.length; at += FRAME) {
    const last = at + FRAME >= block.length;
    parts.push(frame(at === 0 ? "HEADERS" : "CONTINUATION", last ? 4 : 0, stream, block.subarray(at, at + FRAME)));
  }
  return Buffer.concat(parts);
}

const malformed = (name: string, field: string, value: string): StreamAttack => ({
  name: `a request with ${name}`,
  lesson: "RFC 9113 §8.2, §8.3",
  frames: (stream, target) => crooked(stream, target, field, value),
  status: "400",
  reset: E.PROTOCOL_ERROR,
});

export const STREAM_ATTACKS: readonly StreamAttack[] = [
  {
    name: "a header list above 64 KiB",
    lesson: "CVE-2024-27919",
    frames: (stream, target) => longHeaders(stream, [...connectHead(target), ["x-long", "~".repeat(66_000)]]),
    status: "431",
    reset: E.ENHANCE_YOUR_CALM,
  },
  {
    name: "a header list of 300 fields",
    lesson: "CVE-2026-73550",
    frames: (stream, target) =>
      longHeaders(stream, [...connectHead(target), ...Array.from({ length: 300 }, (_, i) => [`x-${i}`, "1"] as const)]),
    status: "431",
    reset: E.ENHANCE_YOUR_CALM,
  },
  malformed("a second :authority", ":authority", "10.0.0.9:80"),
  malformed("a line break in a value", "baggage", "a=b\r\nx-forged: 1"),
  malformed("a zero octet in a value", "baggage", "a=\0"),
  malformed("an upper-case name", "Baggage", "a=b"),
  malformed("a field of HTTP/1.1 connections", "transfer-encoding", "chunked"),
  {
    name: "a window that overflows",
    lesson: "CVE-2025-8671 MadeYouReset",
    frames: (stream, target) =>
      Buffer.concat([frames.headers(stream, connectHead(target)), frames.windowUpdate(stream, 0x7fff_ffff)]),
    reset: E.FLOW_CONTROL_ERROR,
  },
  {
    name: "a WINDOW_UPDATE of 0",
    lesson: "CVE-2025-8671 MadeYouReset",
    frames: (stream, target) =>
      Buffer.concat([frames.headers(stream, connectHead(target)), frames.windowUpdate(stream, 0)]),
    reset: E.PROTOCOL_ERROR,
  },
  {
    name: "DATA after the end",
    lesson: "CVE-2025-8671 MadeYouReset",
    frames: (stream, target) =>
      Buffer.concat([frames.headers(stream, connectHead(target), true), frames.data(stream, "more")]),
    reset: E.STREAM_CLOSED,
  },
  {
    name: "HEADERS in a tunnel",
    lesson: "CVE-2025-8671 MadeYouReset",
    frames: (stream, target) =>
      Buffer.concat([frames.headers(stream, connectHead(target)), frames.headers(stream, [["x", "y"]], true)]),
    reset: E.PROTOCOL_ERROR,
  },
];

/** Requests as only an odd peer sends them, and what may come beside them: all of it is to be taken. */
export const ODD_REQUESTS: readonly { readonly name: string; readonly frames: StreamAttack["frames"] }[] = [
  {
    name: "padding and priority",
    frames: (stream, target) => {
      const block = encodeHeaders(connectHead(target));
      const head = Buffer.from([200, 0, 0, 0, 0, 16]);
      return frame("HEADERS", 0x2c, stream, Buffer.concat([head, block, Buffer.alloc(200)]));
    },
  },
  {
    name: "unknown settings and frames before it",
    frames: (stream, target) =>
      Buffer.concat([
        frames.settings([0xfa, 1], [0x8, 1]),
        frame(0xfa, 0xff, 0, Buffer.from("?")),
        frame(0xfb, 0, stream, Buffer.from("?")),
        frames.headers(stream, connectHead(target)),
      ]),
  },
  {
    name: "a malformed traceparent",
    frames: (stream, target) => frames.headers(stream, [...connectHead(target), ["traceparent", "00-zz-"]]),
  },
  {
    name: "hostile octets in baggage and forwarded",
    frames: (stream, target) =>
      frames.headers(stream, [
        ...connectHead(target),
        ["baggage", 'k8s.pod.name=a"} 1\xff\xfe,'],
        ["forwarded", 'for="127.0.0.1:1";host=$(jndi)'],
        ["x-forwarded-network", "../../etc/passwd"],
        ["x-envoy-original-dst-host", "127.0.0.1:15020"],
      ]),
  },
  {
    name: "a header block in five frames",
    frames: (stream, target) => longHeaders(stream, [...connectHead(target), ["x-long", "~".repeat(60_000)]]),
  },
];

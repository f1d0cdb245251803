/** Numbers of the frame layer (RFC 9113 §4, §6). */

export const FRAME_HEADER_BYTES = 9;

/** RFC 9113 §6. */
export const FRAME_TYPES = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

/** Flags; ACK and END_STREAM share a bit because they belong to different types. */
export const FLAGS = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

/** RFC 9113 §4.2: the size that everyone must accept, and the largest that can be agreed on. */
export const MIN_MAX_FRAME_BYTES = 16_384;
export const LARGEST_FRAME_BYTES = 16_777_215;

/** RFC 9113 §6.9.1: no flow-control window may pass this. */
export const LARGEST_WINDOW = 0x7fff_ffff;

/** RFC 9113 §6.9.2: the window of a connection, and of a stream before the first SETTINGS. */
export const DEFAULT_WINDOW = 65_535;

/** RFC 9113 §5.1.1. */
export const LARGEST_STREAM_ID = 0x7fff_ffff;

/** What a client sends first (RFC 9113 §3.4). */
export const CLIENT_PREFACE: Uint8Array = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Network-order unsigned 32-bit integer at `at`. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/** Writes `value` in network order at `at`. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** SETTINGS of both ends (RFC 9113 §6.5). */
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { DEFAULT_WINDOW, LARGEST_FRAME_BYTES, LARGEST_WINDOW, MIN_MAX_FRAME_BYTES, readUint32 } from "./frame.ts";
import { DEFAULT_TABLE_BYTES } from "./hpack-table.ts";

const SETTING = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
} as const;

/** Bytes of one setting: 16 bits of identifier, 32 of value. */
export const SETTING_BYTES = 6;

/** What we allow the peer. */
export interface LocalSettings {
  /** Receive window of each stream, bytes; from 65,535 on, which is what a peer uses until our SETTINGS arrive. */
  readonly streamWindow: number;
  /** Receive window of the connection, bytes; larger than a stream's, or streams that wait on each other could lock up. */
  readonly connectionWindow: number;
  /** Largest frame payload, bytes (16,384 to 16,777,215). */
  readonly maxFrameSize: number;
  /** Server: streams that a client may have open at a time. */
  readonly maxConcurrentStreams: number;
  /** Bytes of the peer's dynamic table that we keep (RFC 7541 §4.2); 0 or 4096. */
  readonly headerTableSize: 0 | 4096;
  /** Decoded header list, octets as RFC 9113 §6.5.2 counts them. */
  readonly maxHeaderListSize: number;
  /** Fields in one header list. */
  readonly maxHeaderFields: number;
}

/** Windows and limits of a ztunnel peer, except for the frame size: a quarter of its 1 MiB is as quick. */
export const DEFAULT_SETTINGS: LocalSettings = {
  streamWindow: 4 * 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxFrameSize: 256 * 1024,
  maxConcurrentStreams: 200,
  headerTableSize: DEFAULT_TABLE_BYTES,
  maxHeaderListSize: 64 * 1024,
  maxHeaderFields: 256,
};

/** Fills in the defaults. Throws a call error `bad-setting`. */
export function localSettings(given: Partial<LocalSettings>): LocalSettings {
  const settings = { ...DEFAULT_SETTINGS, ...given };
  within("streamWindow", settings.streamWindow, DEFAULT_WINDOW, LARGEST_WINDOW);
  within("connectionWindow", settings.connectionWindow, DEFAULT_WINDOW, LARGEST_WINDOW);
  within("maxFrameSize", settings.maxFrameSize, MIN_MAX_FRAME_BYTES, LARGEST_FRAME_BYTES);
  within("maxConcurrentStreams", settings.maxConcurrentStreams, 0, LARGEST_WINDOW);
  within("headerTableSize", settings.headerTableSize, 0, DEFAULT_TABLE_BYTES);
  within("maxHeaderListSize", settings.maxHeaderListSize, 1024, 1024 * 1024);
  within("maxHeaderFields", settings.maxHeaderFields, 8, 65_536);
  return settings;
}

function within(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw Http2Error.misuse("bad-setting", `${name} is ${value}`, `give an integer from ${least} to ${most}`);
}

/** What goes into our first SETTINGS frame: identifier and value in turn; defaults of the RFC are left out. */
export function announced(settings: LocalSettings, role: "client" | "server"): readonly (readonly [number, number])[] {
  const pairs: (readonly [number, number])[] = [];
  if (settings.headerTableSize !== DEFAULT_TABLE_BYTES)
    pairs.push([SETTING.HEADER_TABLE_SIZE, settings.headerTableSize]);
  if (role === "client") pairs.push([SETTING.ENABLE_PUSH, 0]);
  else pairs.push([SETTING.MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams]);
  pairs.push([SETTING.INITIAL_WINDOW_SIZE, settings.streamWindow]);
  if (settings.maxFrameSize !== MIN_MAX_FRAME_BYTES) pairs.push([SETTING.MAX_FRAME_SIZE, settings.maxFrameSize]);
  pairs.push([SETTING.MAX_HEADER_LIST_SIZE, settings.maxHeaderListSize]);
  return pairs;
}

/** What the peer allows us, as its SETTINGS come in. */
export class PeerSettings {
  /** Before its SETTINGS the peer need not have said anything: RFC 9113 §6.5.2 advises it to allow at least 100. */
  maxConcurrentStreams = 100;
  streamWindow = DEFAULT_WINDOW;
  maxFrameSize = MIN_MAX_FRAME_BYTES;
  headerTableSize = DEFAULT_TABLE_BYTES;
  maxHeaderListSize = Number.POSITIVE_INFINITY;
  #first = true;

  /**
   * Applies the payload of one SETTINGS frame, whose length is a multiple of six, in its order (RFC 9113 §6.5.3).
   * Throws the connection errors of §6.5.2. Unknown settings are ignored.
   */
  apply(bytes: Uint8Array, start: number, end: number, peer: "client" | "server"): void {
    if (this.#first) this.maxConcurrentStreams = Number.POSITIVE_INFINITY;
    this.#first = false;
    for (let at = start; at < end; at += SETTING_BYTES) {
      const identifier = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
      const value = readUint32(bytes, at + 2);
      switch (identifier) {
        case SETTING.HEADER_TABLE_SIZE:
          this.headerTableSize = value;
          break;
        case SETTING.ENABLE_PUSH:
          if (value > 1 || (value === 1 && peer === "server")) throw invalid("ENABLE_PUSH", value);
          break;
        case SETTING.MAX_CONCURRENT_STREAMS:
          this.maxConcurrentStreams = value;
          break;
        case SETTING.INITIAL_WINDOW_SIZE:
          if (value > LARGEST_WINDOW) throw invalid("INITIAL_WINDOW_SIZE", value, ERROR_CODES.FLOW_CONTROL_ERROR);
          this.streamWindow = value;
          break;
        case SETTING.MAX_FRAME_SIZE:
          if (value < MIN_MAX_FRAME_BYTES || value > LARGEST_FRAME_BYTES) throw invalid("MAX_FRAME_SIZE", value);
          this.maxFrameSize = value;
          break;
        case SETTING.MAX_HEADER_LIST_SIZE:
          this.maxHeaderListSize = value;
          break;
        default:
          break;
      }
    }
  }
}

function invalid(name: string, value: number, code: number = ERROR_CODES.PROTOCOL_ERROR): Http2Error {
  return Http2Error.connection(code, `SETTINGS_${name} of ${value} is not allowed (RFC 9113 §6.5.2)`);
}

/**
 * The way in: cuts a byte stream into frames, wherever the transport cut it into chunks. DATA is passed on as it comes
 * and never copied; of other frames only those that a chunk boundary cuts are put together. Hot path: nothing is
 * allocated per DATA frame; guarded by `connection.bench.ts`.
 */
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { FLAGS, FRAME_HEADER_BYTES, FRAME_TYPES, readUint32 } from "./frame.ts";

/** Where frames go. A method may throw a connection error; the reader is of no use after that. */
export interface FrameSink {
  /**
   * A whole frame other than DATA, its payload being `bytes[start, end)`, valid only during the call. One that is longer
   * than what is put together comes without its payload.
   */
  frame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void;
  /** A DATA frame begins. `length` is its whole payload, of which `padding` bytes are padding and its length octet. */
  dataStart(flags: number, streamId: number, length: number, padding: number): void;
  /** Part of its data: `bytes[start, end)`, never empty. */
  dataBytes(bytes: Uint8Array, start: number, end: number): void;
  /** It ends, padding included. */
  dataEnd(flags: number): void;
}

type State = "preface" | "header" | "pad-length" | "data" | "padding" | "payload" | "skipped";

/** Of these the payload counts. */
const NEVER_SKIPPED: ReadonlySet<number> = new Set([
  FRAME_TYPES.HEADERS,
  FRAME_TYPES.CONTINUATION,
  FRAME_TYPES.SETTINGS,
]);

/** One direction of one connection. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #maxFrame: number;
  readonly #maxPayload: number;
  readonly #preface: Uint8Array;
  #state: State;
  #stopped = false;
  /** Bytes of the preface or of the frame header seen so far. */
  #seen = 0;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #length = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Bytes of data, then of padding, that are still to come in the DATA frame being read. */
  #dataLeft = 0;
  #paddingLeft = 0;
  /** A cut frame being put together. */
  #payload: Uint8Array | undefined;
  #filled = 0;

  /**
   * `maxFrame`: our SETTINGS_MAX_FRAME_SIZE. `maxPayload`: how much is put together of a frame that is not DATA.
   * `preface`: the bytes that must come first, possibly none (RFC 9113 §3.4).
   */
  constructor(sink: FrameSink, maxFrame: number, maxPayload: number, preface: Uint8Array) {
    this.#sink = sink;
    this.#maxFrame = maxFrame;
    this.#maxPayload = maxPayload;
    this.#preface = preface;
    this.#state = preface.length > 0 ? "preface" : "header";
  }

  /** Ignores everything from now on, also the rest of the chunk that is being read. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Reads one chunk; it may be reused after the call. Throws a connection error when the preface is another, a frame is
   * too large (RFC 9113 §4.2, §10.5) or its padding is (§6.1), and whatever the sink throws.
   */
  read(bytes: Uint8Array): void {
    const end = bytes.length;
    let at = 0;
    while (at < end && !this.#stopped) {
      switch (this.#state) {
        case "preface":
          at = this.#readPreface(bytes, at);
          break;
        case "header":
          at = this.#readHeader(bytes, at);
          break;
        case "pad-length":
          this.#startPadded(bytes[at++] as number);
          break;
        case "data": {
          const stop = Math.min(end, at + this.#dataLeft);
          this.#dataLeft -= stop - at;
          const from = at;
          at = stop;
          if (this.#dataLeft === 0) this.#state = "padding";
          this.#sink.dataBytes(bytes, from, stop);
          if (this.#dataLeft === 0 && this.#paddingLeft === 0) this.#endData();
          break;
        }
        case "padding": {
          const skipped = Math.min(end - at, this.#paddingLeft);
          this.#paddingLeft -= skipped;
          at += skipped;
          if (this.#paddingLeft === 0) this.#endData();
          break;
        }
        case "payload":
          at = this.#readPayload(bytes, at);
          break;
        case "skipped": {
          const stop = Math.min(end, at + this.#dataLeft);
          this.#dataLeft -= stop - at;
          at = stop;
          if (this.#dataLeft > 0) break;
          this.#state = "header";
          this.#sink.frame(this.#type, this.#flags, this.#streamId, bytes, at, at);
          break;
        }
      }
    }
  }

  #readPreface(bytes: Uint8Array, start: number): number {
    let at = start;
    while (at < bytes.length && this.#seen < this.#preface.length) {
      if (bytes[at++] !== this.#preface[this.#seen++]) {
        throw Http2Error.connection(
          ERROR_CODES.PROTOCOL_ERROR,
          "the peer does not begin with the HTTP/2 preface (RFC 9113 §3.4)",
        );
      }
    }
    if (this.#seen === this.#preface.length) {
      this.#seen = 0;
      this.#state = "header";
    }
    return at;
  }

  #readHeader(bytes: Uint8Array, start: number): number {
    if (this.#seen === 0 && bytes.length - start >= FRAME_HEADER_BYTES) {
      this.#begin(bytes, start);
      return start + FRAME_HEADER_BYTES;
    }
    let at = start;
    while (at < bytes.length && this.#seen < FRAME_HEADER_BYTES) this.#header[this.#seen++] = bytes[at++] as number;
    if (this.#seen === FRAME_HEADER_BYTES) {
      this.#seen = 0;
      this.#begin(this.#header, 0);
    }
    return at;
  }

  /** A frame header is whole. Frames without payload are dealt with at once: no further byte may come. */
  #begin(bytes: Uint8Array, at: number): void {
    this.#length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    this.#type = bytes[at + 3] as number;
    this.#flags = bytes[at + 4] as number;
    this.#streamId = readUint32(bytes, at + 5) & 0x7fff_ffff;
    if (this.#length > this.#maxFrame) {
      throw Http2Error.connection(
        ERROR_CODES.FRAME_SIZE_ERROR,
        `a frame of ${this.#length} bytes passes our maximum of ${this.#maxFrame} (RFC 9113 §4.2)`,
      );
    }
    if (this.#type !== FRAME_TYPES.DATA) {
      if (this.#length > this.#maxPayload) this.#skip();
      else if (this.#length > 0) this.#state = "payload";
      else this.#sink.frame(this.#type, this.#flags, this.#streamId, bytes, 0, 0);
    } else if ((this.#flags & FLAGS.PADDED) === 0) {
      this.#startData(0);
    } else if (this.#length === 0) {
      throw Http2Error.connection(
        ERROR_CODES.FRAME_SIZE_ERROR,
        "a padded DATA frame has no room for the pad length (RFC 9113 §6.1)",
      );
    } else {
      this.#state = "pad-length";
    }
  }

  #skip(): void {
    if (NEVER_SKIPPED.has(this.#type)) {
      throw Http2Error.connection(
        ERROR_CODES.ENHANCE_YOUR_CALM,
        `a frame of type ${this.#type} with ${this.#length} bytes is more than we take (RFC 9113 §10.5)`,
      );
    }
    this.#state = "skipped";
    this.#dataLeft = this.#length;
  }

  #startPadded(padding: number): void {
    if (padding >= this.#length) {
      throw Http2Error.connection(
        ERROR_CODES.PROTOCOL_ERROR,
        `padding of ${padding} bytes does not fit a DATA frame of ${this.#length} (RFC 9113 §6.1)`,
      );
    }
    this.#startData(padding + 1);
  }

  /** `overhead`: padding and its length octet, which has been read already. */
  #startData(overhead: number): void {
    this.#dataLeft = this.#length - overhead;
    this.#paddingLeft = overhead > 0 ? overhead - 1 : 0;
    this.#state = this.#dataLeft > 0 ? "data" : "padding";
    this.#sink.dataStart(this.#flags, this.#streamId, this.#length, overhead);
    if (this.#dataLeft === 0 && this.#paddingLeft === 0) this.#endData();
  }

  #endData(): void {
    this.#state = "header";
    if (!this.#stopped) this.#sink.dataEnd(this.#flags);
  }

  #readPayload(bytes: Uint8Array, at: number): number {
    if (this.#payload === undefined) {
      const stop = at + this.#length;
      if (stop <= bytes.length) {
        this.#state = "header";
        this.#sink.frame(this.#type, this.#flags, this.#streamId, bytes, at, stop);
        return stop;
      }
      this.#payload = new Uint8Array(this.#length);
      this.#filled = 0;
    }
    const payload = this.#payload;
    const stop = Math.min(bytes.length, at + payload.length - this.#filled);
    payload.set(bytes.subarray(at, stop), this.#filled);
    this.#filled += stop - at;
    if (this.#filled === payload.length) {
      this.#payload = undefined;
      this.#state = "header";
      this.#sink.frame(this.#type, this.#flags, this.#streamId, payload, 0, payload.length);
    }
    return stop;
  }
}

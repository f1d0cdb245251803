/**
 * Judges each frame by itself and by the frames right before it (RFC 9113 §6: lengths, stream 0 or not, field blocks
 * without a gap) and hands on what it says; what it means for a stream is decided behind `InboundSink`.
 */
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { FLAGS, FRAME_TYPES, readUint32 } from "./frame.ts";
import type { FrameSink } from "./frame-reader.ts";
import { SETTING_BYTES } from "./settings.ts";

/** What frames say, in their order. Methods may throw connection errors. */
export interface InboundSink {
  /** `length` counts against flow control; `padding` of it is no data. */
  dataStart(streamId: number, length: number, padding: number, endStream: boolean): void;
  /** Never empty; valid during the call. */
  dataBytes(bytes: Uint8Array, start: number, end: number): void;
  dataEnd(endStream: boolean): void;
  /** A whole field block, valid during the call. */
  fieldBlock(streamId: number, endStream: boolean, block: Uint8Array, start: number, end: number): void;
  resetStream(streamId: number, code: number): void;
  peerSettings(bytes: Uint8Array, start: number, end: number): void;
  settingsAcked(): void;
  pinged(high: number, low: number): void;
  pingAnswered(high: number, low: number): void;
  peerLeaves(lastStreamId: number, code: number): void;
  windowUpdate(streamId: number, increment: number): void;
  /** PRIORITY, or a type that we do not know (RFC 9113 §4.1, §5.3.2, §5.5). */
  ignoredFrame(): void;
  /** The frame is wrong for its stream alone (RFC 9113 §5.4.2). */
  streamError(streamId: number, code: number, why: string): void;
}

/** CVE-2024-27316 and its family: a block never ends, or is cut into countless frames. */
const MOST_CONTINUATIONS = 4;

/** The frame judge of one connection. */
export class Inbound implements FrameSink {
  readonly #sink: InboundSink;
  readonly #largestBlock: number;
  #settingsSeen = false;
  /** The field block being put together: its stream, 0 when there is none. */
  #blockStream = 0;
  #blockEndsStream = false;
  #block: Uint8Array | undefined;
  #blockLength = 0;
  #continuations = 0;

  /** `largestBlock`: encoded bytes of one field block. */
  constructor(sink: InboundSink, largestBlock: number) {
    this.#sink = sink;
    this.#largestBlock = largestBlock;
  }

  /** A field block has begun and its end has not come. */
  get midBlock(): boolean {
    return this.#blockStream !== 0;
  }

  dataStart(flags: number, streamId: number, length: number, padding: number): void {
    this.#requireOrder(FRAME_TYPES.DATA, streamId);
    if (streamId === 0) throw misplaced("DATA");
    this.#sink.dataStart(streamId, length, padding, (flags & FLAGS.END_STREAM) !== 0);
  }

  dataBytes(bytes: Uint8Array, start: number, end: number): void {
    this.#sink.dataBytes(bytes, start, end);
  }

  dataEnd(flags: number): void {
    this.#sink.dataEnd((flags & FLAGS.END_STREAM) !== 0);
  }

  frame(type: number, flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    this.#requireOrder(type, streamId);
    const length = end - start;
    switch (type) {
      case FRAME_TYPES.HEADERS:
        this.#headers(flags, streamId, bytes, start, end);
        return;
      case FRAME_TYPES.PRIORITY:
        if (streamId === 0) throw misplaced("PRIORITY");
        if (length !== 5) {
          this.#sink.streamError(streamId, ERROR_CODES.FRAME_SIZE_ERROR, `PRIORITY of ${length} bytes (RFC 9113 §6.3)`);
          return;
        }
        this.#sink.ignoredFrame();
        return;
      case FRAME_TYPES.RST_STREAM:
        if (streamId === 0) throw misplaced("RST_STREAM");
        requireLength("RST_STREAM", length, 4);
        this.#sink.resetStream(streamId, readUint32(bytes, start));
        return;
      case FRAME_TYPES.SETTINGS:
        this.#settings(flags, streamId, bytes, start, end);
        return;
      case FRAME_TYPES.PUSH_PROMISE:
        throw protocol("PUSH_PROMISE came although push is off (RFC 9113 §8.4)");
      case FRAME_TYPES.PING: {
        if (streamId !== 0) throw misplaced("PING");
        requireLength("PING", length, 8);
        const high = readUint32(bytes, start);
        const low = readUint32(bytes, start + 4);
        if ((flags & FLAGS.ACK) !== 0) this.#sink.pingAnswered(high, low);
        else this.#sink.pinged(high, low);
        return;
      }
      case FRAME_TYPES.GOAWAY:
        if (streamId !== 0) throw misplaced("GOAWAY");
        if (length < 8) throw wrongSize("GOAWAY", length);
        this.#sink.peerLeaves(readUint32(bytes, start) & 0x7fff_ffff, readUint32(bytes, start + 4));
        return;
      case FRAME_TYPES.WINDOW_UPDATE:
        requireLength("WINDOW_UPDATE", length, 4);
        this.#sink.windowUpdate(streamId, readUint32(bytes, start) & 0x7fff_ffff);
        return;
      case FRAME_TYPES.CONTINUATION:
        this.#continuation(flags, bytes, start, end);
        return;
      default:
        this.#sink.ignoredFrame();
    }
  }

  /** The first frame is SETTINGS (RFC 9113 §3.4), and nothing comes between the frames of a field block (§4.3). */
  #requireOrder(type: number, streamId: number): void {
    if (!this.#settingsSeen && type !== FRAME_TYPES.SETTINGS) {
      throw protocol("the first frame is not SETTINGS (RFC 9113 §3.4)");
    }
    if (this.#blockStream !== 0) {
      if (type === FRAME_TYPES.CONTINUATION && streamId === this.#blockStream) return;
      throw protocol("another frame interrupts a field block (RFC 9113 §4.3)");
    }
    if (type === FRAME_TYPES.CONTINUATION) throw protocol("CONTINUATION without HEADERS (RFC 9113 §6.10)");
  }

  #headers(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId === 0) throw misplaced("HEADERS");
    let from = start;
    let to = end;
    if ((flags & FLAGS.PADDED) !== 0) {
      if (from === to) throw wrongSize("HEADERS", end - start);
      to -= bytes[from++] as number;
    }
    if ((flags & FLAGS.PRIORITY) !== 0) {
      if (end - from < 5) throw wrongSize("HEADERS", end - start);
      from += 5;
    }
    if (to < from) throw protocol("the padding of HEADERS is longer than the frame (RFC 9113 §6.2)");
    const endStream = (flags & FLAGS.END_STREAM) !== 0;
    if ((flags & FLAGS.END_HEADERS) !== 0) {
      if (to - from > this.#largestBlock) throw calm(`a field block of more than ${this.#largestBlock} bytes`);
      this.#sink.fieldBlock(streamId, endStream, bytes, from, to);
      return;
    }
    this.#blockStream = streamId;
    this.#blockEndsStream = endStream;
    this.#continuations = 0;
    this.#append(bytes, from, to);
  }

  #continuation(flags: number, bytes: Uint8Array, start: number, end: number): void {
    if (++this.#continuations > MOST_CONTINUATIONS) {
      throw calm(`a field block in more than ${MOST_CONTINUATIONS} CONTINUATION frames`);
    }
    this.#append(bytes, start, end);
    if ((flags & FLAGS.END_HEADERS) === 0) return;
    const streamId = this.#blockStream;
    const block = this.#block ?? bytes;
    this.#blockStream = 0;
    this.#block = undefined;
    const length = this.#blockLength;
    this.#blockLength = 0;
    this.#sink.fieldBlock(streamId, this.#blockEndsStream, block, 0, length);
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#blockLength + end - start;
    if (length > this.#largestBlock) throw calm(`a field block of more than ${this.#largestBlock} bytes`);
    if (this.#block === undefined || this.#block.length < length) {
      const larger = new Uint8Array(Math.min(this.#largestBlock, length * 2));
      if (this.#block !== undefined) larger.set(this.#block.subarray(0, this.#blockLength));
      this.#block = larger;
    }
    this.#block.set(bytes.subarray(start, end), this.#blockLength);
    this.#blockLength = length;
  }

  #settings(flags: number, streamId: number, bytes: Uint8Array, start: number, end: number): void {
    if (streamId !== 0) throw misplaced("SETTINGS");
    if ((flags & FLAGS.ACK) !== 0) {
      if (!this.#settingsSeen) throw protocol("the first frame is not SETTINGS (RFC 9113 §3.4)");
      requireLength("SETTINGS with ACK", end - start, 0);
      this.#sink.settingsAcked();
      return;
    }
    if ((end - start) % SETTING_BYTES !== 0) throw wrongSize("SETTINGS", end - start);
    this.#settingsSeen = true;
    this.#sink.peerSettings(bytes, start, end);
  }
}

function protocol(why: string): Http2Error {
  return Http2Error.connection(ERROR_CODES.PROTOCOL_ERROR, why);
}

function misplaced(frame: string): Http2Error {
  return protocol(`${frame} is on the wrong stream (RFC 9113 §6)`);
}

function calm(what: string): Http2Error {
  return Http2Error.connection(ERROR_CODES.ENHANCE_YOUR_CALM, `${what} is more than we take (RFC 9113 §10.5.1)`);
}

function wrongSize(frame: string, length: number): Http2Error {
  return Http2Error.connection(ERROR_CODES.FRAME_SIZE_ERROR, `${frame} cannot have ${length} bytes (RFC 9113 §6)`);
}

function requireLength(frame: string, length: number, right: number): void {
  if (length !== right) throw wrongSize(frame, length);
}

/**
 * The way out: frames are written one after the other into one borrowed buffer, which leaves in as few transport writes
 * as possible; a large chunk leaves by itself, uncopied. Hot path: nothing is allocated per DATA frame but a view when a
 * chunk has to be cut; guarded by `connection.bench.ts`.
 */
import { giveBack, lend } from "./buffer-pool.ts";
import { FLAGS, FRAME_HEADER_BYTES, FRAME_TYPES, writeUint32 } from "./frame.ts";
import { SETTING_BYTES } from "./settings.ts";
import type { ByteTransport } from "./transport.ts";

const NOTHING = new Uint8Array(0);

/** The output of one connection: what is left of a large chunk waits to be sent, then bytes `[start, end)` of the buffer. */
export class FrameWriter {
  readonly #transport: ByteTransport;
  #large: Uint8Array | undefined;
  #buffer: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  #blocked = false;
  /** Where the header of the last frame is if that frame is DATA, and its stream and length; -1 otherwise. */
  #dataAt = -1;
  #dataStream = 0;
  #dataLength = 0;

  constructor(transport: ByteTransport) {
    this.#transport = transport;
  }

  /** Bytes that wait. */
  get pending(): number {
    return this.#end - this.#start + (this.#large === undefined ? 0 : this.#large.length);
  }

  /** The transport takes nothing at present. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Writes until all is gone or the transport blocks. */
  flush(): void {
    if (this.#blocked || (this.#large !== undefined && !this.#sendLarge())) return;
    if (this.#start === this.#end) return;
    const taken = this.#transport.write(this.#buffer.subarray(this.#start, this.#end));
    this.#start += taken;
    if (this.#start < this.#end) {
      this.#blocked = true;
      return;
    }
    this.#release();
  }

  /** The transport takes bytes again. */
  unblock(): void {
    this.#blocked = false;
  }

  /** Forgets all that waits. */
  discard(): void {
    this.#large = undefined;
    this.#release();
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#end);
    this.#end += bytes.length;
    this.#dataAt = -1;
  }

  /**
   * `length` bytes of `chunk` from `from` on as DATA. Continues the frame before when that is DATA of the same stream,
   * has not begun to leave and stays within `maxFrame`.
   */
  data(streamId: number, chunk: Uint8Array, from: number, length: number, maxFrame: number): void {
    this.#reserve(FRAME_HEADER_BYTES + length);
    if (this.#extendable(streamId) && this.#dataLength + length <= maxFrame) {
      this.#dataLength += length;
      this.#writeLength(this.#dataAt, this.#dataLength);
    } else {
      const at = this.#end;
      this.#header(length, FRAME_TYPES.DATA, 0, streamId);
      this.#dataAt = at;
      this.#dataStream = streamId;
      this.#dataLength = length;
    }
    const whole = from === 0 && length === chunk.length;
    this.#buffer.set(whole ? chunk : chunk.subarray(from, from + length), this.#end);
    this.#end += length;
  }

  /**
   * `length` bytes of `chunk` from `from` on as a DATA frame that is handed to the transport as it is, for no copy of it is
   * made: nobody may write to the chunk afterwards. Everything before it leaves first; while that is not possible nothing
   * is done and the answer is false.
   */
  largeData(streamId: number, chunk: Uint8Array, from: number, length: number): boolean {
    this.flush();
    if (this.pending > 0) return false;
    this.#reserve(FRAME_HEADER_BYTES);
    this.#header(length, FRAME_TYPES.DATA, 0, streamId);
    this.flush();
    const payload = from === 0 && length === chunk.length ? chunk : chunk.subarray(from, from + length);
    if (this.pending > 0) {
      // Not even the header went out whole.
      this.raw(payload);
      return true;
    }
    this.#large = payload;
    this.#sendLarge();
    return true;
  }

  /** END_STREAM: a flag on the DATA frame before when it can still carry it, an empty DATA frame otherwise. */
  endStream(streamId: number): void {
    if (this.#extendable(streamId)) {
      this.#buffer[this.#dataAt + 4] = FLAGS.END_STREAM;
      this.#dataAt = -1;
      return;
    }
    this.#reserve(FRAME_HEADER_BYTES);
    this.#header(0, FRAME_TYPES.DATA, FLAGS.END_STREAM, streamId);
  }

  /** A field block as HEADERS and as many CONTINUATIONs as the peer's frame size asks for (RFC 9113 §6.2, §6.10). */
  headers(streamId: number, block: Uint8Array, endStream: boolean, maxFrame: number): void {
    let at = 0;
    let type: number = FRAME_TYPES.HEADERS;
    do {
      const length = Math.min(maxFrame, block.length - at);
      let flags = at + length === block.length ? FLAGS.END_HEADERS : 0;
      if (endStream && type === FRAME_TYPES.HEADERS) flags |= FLAGS.END_STREAM;
      this.#reserve(FRAME_HEADER_BYTES + length);
      this.#header(length, type, flags, streamId);
      this.#buffer.set(block.subarray(at, at + length), this.#end);
      this.#end += length;
      at += length;
      type = FRAME_TYPES.CONTINUATION;
    } while (at < block.length);
  }

  rstStream(streamId: number, code: number): void {
    this.#reserve(FRAME_HEADER_BYTES + 4);
    this.#header(4, FRAME_TYPES.RST_STREAM, 0, streamId);
    this.#uint32(code);
  }

  settings(pairs: readonly (readonly [number, number])[]): void {
    const length = pairs.length * SETTING_BYTES;
    this.#reserve(FRAME_HEADER_BYTES + length);
    this.#header(length, FRAME_TYPES.SETTINGS, 0, 0);
    for (const [identifier, value] of pairs) {
      this.#buffer[this.#end++] = identifier >>> 8;
      this.#buffer[this.#end++] = identifier;
      this.#uint32(value);
    }
  }

  settingsAck(): void {
    this.#reserve(FRAME_HEADER_BYTES);
    this.#header(0, FRAME_TYPES.SETTINGS, FLAGS.ACK, 0);
  }

  /** The eight opaque octets as two numbers. */
  ping(high: number, low: number, ack: boolean): void {
    this.#reserve(FRAME_HEADER_BYTES + 8);
    this.#header(8, FRAME_TYPES.PING, ack ? FLAGS.ACK : 0, 0);
    this.#uint32(high);
    this.#uint32(low);
  }

  /** `debug` is for diagnosis only (RFC 9113 §6.8); each of its characters is sent as one octet. */
  goAway(lastStreamId: number, code: number, debug: string): void {
    const length = 8 + debug.length;
    this.#reserve(FRAME_HEADER_BYTES + length);
    this.#header(length, FRAME_TYPES.GOAWAY, 0, 0);
    this.#uint32(lastStreamId);
    this.#uint32(code);
    for (let i = 0; i < debug.length; i++) this.#buffer[this.#end++] = debug.charCodeAt(i);
  }

  windowUpdate(streamId: number, increment: number): void {
    this.#reserve(FRAME_HEADER_BYTES + 4);
    this.#header(4, FRAME_TYPES.WINDOW_UPDATE, 0, streamId);
    this.#uint32(increment);
  }

  /** False when the transport blocks before its end. */
  #sendLarge(): boolean {
    const rest = this.#large as Uint8Array;
    const taken = this.#transport.write(rest);
    this.#blocked = taken < rest.length;
    this.#large = this.#blocked ? rest.subarray(taken) : undefined;
    return !this.#blocked;
  }

  #extendable(streamId: number): boolean {
    return this.#dataAt >= this.#start && this.#dataStream === streamId;
  }

  #header(length: number, type: number, flags: number, streamId: number): void {
    const at = this.#end;
    this.#dataAt = -1;
    this.#writeLength(at, length);
    this.#buffer[at + 3] = type;
    this.#buffer[at + 4] = flags;
    writeUint32(this.#buffer, at + 5, streamId);
    this.#end = at + FRAME_HEADER_BYTES;
  }

  #writeLength(at: number, length: number): void {
    this.#buffer[at] = length >>> 16;
    this.#buffer[at + 1] = length >>> 8;
    this.#buffer[at + 2] = length;
  }

  #uint32(value: number): void {
    writeUint32(this.#buffer, this.#end, value);
    this.#end += 4;
  }

  /** `bytes` more must fit: moves what waits to the front, or into a larger buffer. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const pending = this.#end - this.#start;
    if (this.#dataAt >= this.#start) this.#dataAt -= this.#start;
    else this.#dataAt = -1;
    if (pending + bytes <= this.#buffer.length) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    } else {
      const larger = lend(pending + bytes);
      larger.set(this.#buffer.subarray(this.#start, this.#end));
      giveBack(this.#buffer);
      this.#buffer = larger;
    }
    this.#start = 0;
    this.#end = pending;
  }

  #release(): void {
    giveBack(this.#buffer);
    this.#buffer = NOTHING;
    this.#start = 0;
    this.#end = 0;
    this.#dataAt = -1;
  }
}

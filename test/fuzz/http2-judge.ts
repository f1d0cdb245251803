/** Judges what a connection sends: that it is HTTP/2, and no more than the peer paid for. */
import { cutFrames, PREFACE, type RawFrame } from "../../src/testkit/http2-peer.ts";
import { ERROR_CODES, HpackDecoder } from "../../src/tunnel/index.ts";
import { promise, same } from "./target.ts";

const CODES: ReadonlySet<number> = new Set(Object.values(ERROR_CODES));

/** Whether what the connection sends is HTTP/2, and no more than the input paid for. */
export class Judge {
  readonly #role: "client" | "server";
  /** The peer's frames as far as they are whole. */
  readonly #peer: readonly RawFrame[];
  readonly #decoder = new HpackDecoder({ listBytes: 1 << 16, fields: 1000 });
  #bytes: Buffer = Buffer.alloc(0);
  #prefaceSeen: boolean;
  #frames = 0;
  #total = 0;
  #data = 0;
  #acks = 0;
  #pongs = 0;
  #over = false;
  #block: { readonly stream: number; readonly parts: Buffer[] } | undefined;

  constructor(role: "client" | "server", input: Buffer) {
    this.#role = role;
    this.#prefaceSeen = role === "server";
    const found: RawFrame[] = [];
    cutFrames(input, found);
    this.#peer = found;
  }

  take(bytes: Uint8Array): void {
    this.#total += bytes.length;
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (!this.#prefaceSeen) {
      if (this.#bytes.length < PREFACE.length) return;
      same(this.#bytes.toString("latin1", 0, PREFACE.length), PREFACE, "the preface");
      this.#bytes = this.#bytes.subarray(PREFACE.length);
      this.#prefaceSeen = true;
    }
    const found: RawFrame[] = [];
    this.#bytes = cutFrames(this.#bytes, found);
    for (const one of found) this.#frame(one);
  }

  /** `cut`: the connection was destroyed, perhaps in the middle of a frame. */
  finish(cut: boolean): void {
    promise(cut || (this.#bytes.length === 0 && this.#block === undefined), "the last frame is whole");
    const paid = this.#peer.reduce((sum, one) => sum + one.bytes.length, 0);
    promise(this.#total <= 4096 + 20 * paid, `${paid} bytes make us send ${this.#total}`);
    const count = (type: string) => this.#peer.filter((one) => one.type === type && (one.flags & 1) === 0).length;
    promise(this.#acks <= count("SETTINGS"), "one ACK for each SETTINGS");
    promise(this.#pongs <= count("PING"), "one answer to each PING");
    const credit = this.#peer
      .filter((one) => one.type === "WINDOW_UPDATE" && (one.stream & 0x7fff_ffff) === 0 && one.payload.length === 4)
      .reduce((sum, { payload }) => sum + (payload.readUInt32BE(0) & 0x7fff_ffff), 65_535);
    promise(this.#data <= credit, "no more DATA than the connection's window allows");
  }

  #frame({ type, flags, stream, payload }: RawFrame): void {
    promise(!this.#over, "nothing follows GOAWAY with an error");
    if (this.#frames++ === 0) same(type, "SETTINGS", "the first frame");
    if (this.#block !== undefined)
      same([type, stream], ["CONTINUATION", this.#block.stream], "the rest of a field block");
    const own = (stream % 2 === 1) === (this.#role === "client");
    switch (type) {
      case "DATA":
        this.#data += payload.length;
        promise(stream > 0 && payload.length <= 64 * 1024, "DATA of a stream, not too long");
        break;
      case "HEADERS":
        promise(stream > 0 && (own || this.#role === "server"), "HEADERS on a stream of the client");
        this.#block = { stream, parts: [] };
        this.#fields(flags, payload);
        break;
      case "CONTINUATION":
        promise(this.#block !== undefined, "CONTINUATION continues");
        this.#fields(flags, payload);
        break;
      case "RST_STREAM":
        promise(CODES.has(payload.readUInt32BE(0)), "a known error code");
        promise(stream > 0 && (own || this.#wasUsed(stream)), "RST_STREAM of a stream that was used");
        break;
      case "SETTINGS":
        same(stream, 0, "the stream of SETTINGS");
        if ((flags & 1) !== 0) this.#acks++;
        break;
      case "PING":
        if ((flags & 1) !== 0) this.#pongs++;
        break;
      case "GOAWAY": {
        const code = payload.readUInt32BE(4);
        promise(CODES.has(code), "a known error code");
        this.#over = code !== ERROR_CODES.NO_ERROR;
        break;
      }
      case "WINDOW_UPDATE": {
        const increment = payload.readUInt32BE(0);
        promise(increment > 0 && increment <= 0x7fff_ffff, "an increment of 1 to 2^31-1");
        break;
      }
      default:
        promise(false, `no ${type} is sent`);
    }
  }

  #fields(flags: number, part: Buffer): void {
    const block = this.#block;
    if (block === undefined) return;
    block.parts.push(part);
    if ((flags & 4) === 0) return;
    this.#block = undefined;
    this.#decoder.decode(Buffer.concat(block.parts));
  }

  #wasUsed(stream: number): boolean {
    return this.#peer.some((one) => one.type === "HEADERS" && (one.stream & 0x7fff_ffff) >= stream);
  }
}

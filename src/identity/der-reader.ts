/**
 * Reads strict DER (X.690 §8, §10, §11) from hostile bytes: definite minimal lengths, single-octet tags, no trailing
 * bytes, bounded depth. Every failure is an IdentityError `bad-der`; nothing else is thrown.
 */
import { type Der, TAG } from "./der.ts";
import { IdentityError } from "./errors.ts";

/** No structure of ours is deeper (a certificate's extension needs 8). */
const MAX_DEPTH = 16;
/** Arcs beyond this cannot be held exactly; no OID we know has one. */
const MAX_ARC = 2 ** 48;

/** The DER error of `what`, at a byte offset where that helps. */
export function badDer(what: string): IdentityError {
  return new IdentityError("bad-der", `not strict DER: ${what}`);
}

/** Walks the elements of one range of bytes. Results are views of the input, never copies. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #depth: number;
  #at: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length, depth = 0) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#depth = depth;
  }

  /** True when every byte of the range was read. */
  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** Refuses bytes that were not read. */
  finish(): void {
    if (this.#at < this.#end) throw badDer(`${this.#end - this.#at} bytes follow where the structure ends`);
  }

  /** Identifier octet of the next element, undefined at the end of the range. */
  peek(): number | undefined {
    return this.#at < this.#end ? this.#bytes[this.#at] : undefined;
  }

  /** A reader of the content of the next element, which must be constructed and have this tag. */
  enter(tag: number): DerReader {
    if (this.#depth >= MAX_DEPTH) throw badDer(`nested deeper than ${MAX_DEPTH}`);
    const start = this.#header(tag);
    const inner = new DerReader(this.#bytes, start, this.#contentEnd, this.#depth + 1);
    this.#at = this.#contentEnd;
    return inner;
  }

  /** `enter` when the next element has this tag, else undefined. */
  enterIf(tag: number): DerReader | undefined {
    return this.peek() === tag ? this.enter(tag) : undefined;
  }

  /** Content of the next element, which must have this tag. */
  content(tag: number): Uint8Array {
    const start = this.#header(tag);
    this.#at = this.#contentEnd;
    return this.#bytes.subarray(start, this.#contentEnd);
  }

  /** The next element whole, header included; of this tag if one is given. */
  whole(tag?: number): Der {
    const start = this.#at;
    this.#header(tag);
    this.#at = this.#contentEnd;
    return this.#bytes.subarray(start, this.#contentEnd) as Der;
  }

  /** INTEGER content, minimal (§8.3.2), two's complement. */
  integer(): Uint8Array {
    const bytes = this.content(TAG.integer);
    const first = bytes[0];
    if (first === undefined) throw badDer("an INTEGER without content");
    const second = bytes[1];
    if (second !== undefined && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      throw badDer("an INTEGER that is not minimal");
    }
    return bytes;
  }

  /** A small non-negative INTEGER. */
  smallInteger(): number {
    const bytes = this.integer();
    if ((bytes[0] as number) >= 0x80 || bytes.length > 4) throw badDer("an INTEGER outside 0 to 2^31−1");
    let value = 0;
    for (const byte of bytes) value = value * 256 + byte;
    return value;
  }

  /** BOOLEAN (§11.1: TRUE is FF) where FALSE is the default, so only TRUE may be written (§11.5). */
  trueOrAbsent(): boolean {
    if (this.peek() !== TAG.boolean) return false;
    const bytes = this.content(TAG.boolean);
    if (bytes.length !== 1 || bytes[0] !== 0xff) throw badDer("a BOOLEAN that is not TRUE where FALSE is the default");
    return true;
  }

  /** BIT STRING of whole bytes. */
  wholeBytes(): Uint8Array {
    const bytes = this.content(TAG.bitString);
    if (bytes[0] !== 0) throw badDer("a BIT STRING that is not of whole bytes");
    return bytes.subarray(1);
  }

  /** BIT STRING of named bits (§11.2.2: no trailing zero bit): the numbers of the bits that are set. */
  namedBits(): number[] {
    const bytes = this.content(TAG.bitString);
    const unused = bytes[0];
    const last = bytes[bytes.length - 1] as number;
    if (unused === undefined || unused > 7 || (bytes.length === 1 && unused !== 0))
      throw badDer("a malformed BIT STRING");
    if (bytes.length > 3) throw badDer("a BIT STRING of more named bits than any type has");
    if (bytes.length > 1 && (last & ((1 << (unused + 1)) - 1)) !== 1 << unused) {
      throw badDer("a BIT STRING of named bits with trailing zero bits");
    }
    const bits: number[] = [];
    for (let bit = 0; bit < (bytes.length - 1) * 8; bit++) {
      if (((bytes[1 + (bit >> 3)] as number) << (bit & 7)) & 0x80) bits.push(bit);
    }
    return bits;
  }

  /** OBJECT IDENTIFIER as dotted text (§8.19: each arc minimal). */
  oid(): string {
    const bytes = this.content(TAG.oid);
    if (bytes.length === 0 || bytes.length > 64) throw badDer("an OBJECT IDENTIFIER that is empty or too long");
    let text = "";
    let arc = 0;
    let fresh = true;
    for (const byte of bytes) {
      if (fresh && byte === 0x80) throw badDer("an OBJECT IDENTIFIER whose arc is not minimal");
      arc = arc * 128 + (byte & 0x7f);
      if (arc >= MAX_ARC) throw badDer("an OBJECT IDENTIFIER whose arc is too large");
      fresh = byte < 0x80;
      if (!fresh) continue;
      if (text === "") {
        const first = arc < 80 ? Math.floor(arc / 40) : 2;
        text = `${first}.${arc - first * 40}`;
      } else {
        text += `.${arc}`;
      }
      arc = 0;
    }
    if (!fresh) throw badDer("an OBJECT IDENTIFIER that is cut off");
    return text;
  }

  #contentEnd = 0;

  /** Checks identifier and length at the cursor; gives the content's start and sets `#contentEnd`. */
  #header(expected: number | undefined): number {
    const bytes = this.#bytes;
    let at = this.#at;
    if (at + 2 > this.#end) throw badDer("it ends where an element should begin");
    const tag = bytes[at++] as number;
    if ((tag & 0x1f) === 0x1f) throw badDer("a tag of several octets");
    if (expected !== undefined && tag !== expected) {
      throw badDer(
        `tag 0x${tag.toString(16).padStart(2, "0")} where 0x${expected.toString(16).padStart(2, "0")} belongs`,
      );
    }
    let length = bytes[at++] as number;
    if (length === 0x80) throw badDer("an indefinite length");
    if (length > 0x80) {
      const count = length & 0x7f;
      if (count > 3) throw badDer("a length of more than three octets");
      if (at + count > this.#end) throw badDer("it ends inside a length");
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[at++] as number);
      if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw badDer("a length that is not minimal");
    }
    if (at + length > this.#end) throw badDer("an element that reaches over the end");
    this.#contentEnd = at + length;
    return at;
  }
}

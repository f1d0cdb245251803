/** The encoding half of HPACK (RFC 7541). */
import { Http2Error } from "./errors.ts";
import { huffmanEncode, huffmanLength } from "./hpack-huffman.ts";
import {
  DEFAULT_TABLE_BYTES,
  DynamicTable,
  fieldSize,
  type HeaderField,
  STATIC_ENTRIES,
  STATIC_TABLE,
} from "./hpack-table.ts";

/** Never in any table, here or at an intermediary (RFC 7541 §7.1.3). */
const SENSITIVE: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

/** New with each stream: to index them would only push the useful entries out. */
const UNREPEATED: ReadonlySet<string> = new Set([
  "traceparent",
  "tracestate",
  "forwarded",
  "content-length",
  "date",
  "age",
  "etag",
  "grpc-message",
  "grpc-status-details-bin",
  "x-request-id",
]);

/** First entry of each name; entries of one name follow each other. */
const STATIC_NAMES = new Map<string, number>();
for (let index = STATIC_ENTRIES; index >= 1; index--) STATIC_NAMES.set((STATIC_TABLE[index] as HeaderField)[0], index);

/** A prefix integer below 2^35 takes at most this (RFC 7541 §5.1). */
const LONGEST_INTEGER = 6;

/** One for the whole process: a block is copied into frames before anything else is encoded. */
let scratch = new Uint8Array(4096);

/** One per direction of a connection: blocks must reach the peer in the order in which they were encoded. */
export class HpackEncoder {
  readonly #most: number;
  readonly #table: DynamicTable;
  /** The smallest limit since the last block, and whether one must be announced (RFC 7541 §4.2). */
  #smallest = DEFAULT_TABLE_BYTES;
  #announce = false;
  #limit = DEFAULT_TABLE_BYTES;
  #at = 0;

  /** `most`: bytes of dynamic table that we are willing to keep, whatever the peer allows. */
  constructor(most = DEFAULT_TABLE_BYTES) {
    this.#most = most;
    this.#table = new DynamicTable(DEFAULT_TABLE_BYTES);
    if (most < DEFAULT_TABLE_BYTES) this.setTableLimit(DEFAULT_TABLE_BYTES);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setTableLimit(bytes: number): void {
    const limit = Math.min(bytes, this.#most);
    if (limit === this.#limit && !this.#announce) return;
    this.#limit = limit;
    this.#smallest = this.#announce ? Math.min(this.#smallest, limit) : limit;
    this.#announce = true;
    this.#table.resize(limit);
  }

  /**
   * Encodes one field block. The result is valid until the next call on any encoder. Throws a call error `bad-header`
   * when a character is not an octet (0–255), and then has changed nothing.
   */
  encode(headers: readonly HeaderField[]): Uint8Array {
    for (const field of headers) requireOctets(field);
    this.#at = 0;
    if (this.#announce) {
      this.#room(2 * LONGEST_INTEGER);
      if (this.#smallest < this.#limit) this.#integer(0x20, 0x1f, this.#smallest);
      this.#integer(0x20, 0x1f, this.#limit);
      this.#announce = false;
    }
    for (const field of headers) this.#field(field);
    return scratch.subarray(0, this.#at);
  }

  #field(field: HeaderField): void {
    const [name, value] = field;
    this.#room(name.length + value.length + 3 * LONGEST_INTEGER);
    const first = STATIC_NAMES.get(name) ?? 0;
    if (SENSITIVE.has(name)) {
      this.#literal(0x10, 0x0f, first, name, value);
      return;
    }
    for (let index = first; index !== 0 && index <= STATIC_ENTRIES; index++) {
      const entry = STATIC_TABLE[index] as HeaderField;
      if (entry[0] !== name) break;
      if (entry[1] === value) {
        this.#integer(0x80, 0x7f, index);
        return;
      }
    }
    const known = this.#table.find(name, value);
    if (known !== 0) {
      this.#integer(0x80, 0x7f, STATIC_ENTRIES + known);
      return;
    }
    let nameIndex = first;
    if (nameIndex === 0) {
      const position = this.#table.findName(name);
      if (position !== 0) nameIndex = STATIC_ENTRIES + position;
    }
    // A field that would push out more than half of the table is not worth it.
    if (UNREPEATED.has(name) || fieldSize(name, value) * 2 > this.#table.capacity) {
      this.#literal(0x00, 0x0f, nameIndex, name, value);
      return;
    }
    this.#literal(0x40, 0x3f, nameIndex, name, value);
    this.#table.insert(field);
  }

  #literal(pattern: number, mask: number, nameIndex: number, name: string, value: string): void {
    this.#integer(pattern, mask, nameIndex);
    if (nameIndex === 0) this.#string(name);
    this.#string(value);
  }

  #integer(pattern: number, mask: number, value: number): void {
    if (value < mask) {
      scratch[this.#at++] = pattern | value;
      return;
    }
    scratch[this.#at++] = pattern | mask;
    let rest = value - mask;
    while (rest >= 128) {
      scratch[this.#at++] = 0x80 | (rest & 0x7f);
      rest >>>= 7;
    }
    scratch[this.#at++] = rest;
  }

  #string(text: string): void {
    const coded = huffmanLength(text);
    if (coded < text.length) {
      this.#integer(0x80, 0x7f, coded);
      this.#at = huffmanEncode(text, scratch, this.#at);
      return;
    }
    this.#integer(0x00, 0x7f, text.length);
    for (let i = 0; i < text.length; i++) scratch[this.#at++] = text.charCodeAt(i);
  }

  /** `bytes` more must fit. */
  #room(bytes: number): void {
    if (this.#at + bytes <= scratch.length) return;
    const bigger = new Uint8Array(Math.max(scratch.length * 2, this.#at + bytes));
    bigger.set(scratch.subarray(0, this.#at));
    scratch = bigger;
  }
}

function requireOctets(field: HeaderField): void {
  if (huffmanLength(field[0]) >= 0 && huffmanLength(field[1]) >= 0) return;
  throw Http2Error.misuse(
    "bad-header",
    `the header ${JSON.stringify(field[0])} holds a character that is not an octet`,
    "encode the value first (percent-encoding, base64)",
  );
}

/** One field block from a table of its own: for tools and tests; a connection keeps an `HpackEncoder`. */
export function encodeHeaders(headers: readonly HeaderField[]): Uint8Array {
  return new HpackEncoder().encode(headers).slice();
}

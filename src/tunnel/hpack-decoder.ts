/** The decoding half of HPACK (RFC 7541). Whatever the bytes are, it ends, and throws nothing but `Http2Error`. */
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { huffmanDecode } from "./hpack-huffman.ts";
import {
  DEFAULT_TABLE_BYTES,
  DynamicTable,
  fieldSize,
  type HeaderField,
  STATIC_ENTRIES,
  STATIC_TABLE,
} from "./hpack-table.ts";

/** What one header list may hold once decoded: an index of one byte can stand for 4 KiB (CVE-2026-47774). */
export interface HeaderListLimits {
  /** Octets as RFC 9113 §6.5.2 counts SETTINGS_MAX_HEADER_LIST_SIZE: name + value + 32 for each field. */
  readonly listBytes: number;
  readonly fields: number;
}

export interface DecodedHeaders {
  readonly headers: readonly HeaderField[];
  /** The list passed a limit: `headers` holds only its beginning. The decoder itself is still in step with the peer. */
  readonly tooLarge: boolean;
}

/** Larger than any index, length or table size that we accept; six bytes of an integer never pass 2^32 (RFC 7541 §5.1). */
const LARGEST_INTEGER = 0x0fff_ffff;
const MOST_CONTINUATION_BYTES = 5;

const NOTHING = new Uint8Array(0);

let scratch = Buffer.allocUnsafe(4096);

/** One per direction of a connection: field blocks must be given in the order in which they arrived. */
export class HpackDecoder {
  readonly #limits: HeaderListLimits;
  readonly #table = new DynamicTable(DEFAULT_TABLE_BYTES);
  #tableLimit = DEFAULT_TABLE_BYTES;
  #updateRequired = false;
  #bytes: Uint8Array = NOTHING;
  #at = 0;
  #end = 0;

  constructor(limits: HeaderListLimits) {
    this.#limits = limits;
  }

  /**
   * The peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE. When that is below the table's size, the next block must
   * begin with a size update (RFC 7541 §4.2).
   */
  setTableLimit(bytes: number): void {
    this.#tableLimit = bytes;
    this.#updateRequired = this.#table.capacity > bytes;
  }

  /** Decodes one whole field block. Throws a connection error COMPRESSION_ERROR (RFC 9113 §4.3). */
  decode(bytes: Uint8Array, start = 0, end: number = bytes.length): DecodedHeaders {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    const headers: HeaderField[] = [];
    let size = 0;
    let tooLarge = false;
    let updatesAllowed = true;
    while (this.#at < end) {
      const first = bytes[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        if (!updatesAllowed) throw invalid("a table size update follows a field (RFC 7541 §4.2)");
        this.#updateTable();
        continue;
      }
      if (this.#updateRequired)
        throw invalid("the table size update that our SETTINGS require is missing (RFC 7541 §4.2)");
      updatesAllowed = false;
      const field = (first & 0x80) !== 0 ? this.#indexed() : this.#literal(first);
      // Beyond the limit the block is still walked, because it changes the table, but nothing is kept of it.
      size += fieldSize(field[0], field[1]);
      if (size > this.#limits.listBytes || headers.length >= this.#limits.fields) tooLarge = true;
      if (!tooLarge) headers.push(field);
    }
    if (this.#updateRequired)
      throw invalid("the table size update that our SETTINGS require is missing (RFC 7541 §4.2)");
    // An idle connection must not keep the chunk in which its last header list came.
    this.#bytes = NOTHING;
    return { headers, tooLarge };
  }

  #updateTable(): void {
    const size = this.#integer(0x1f);
    if (size > this.#tableLimit) {
      throw invalid(`a table size update to ${size} passes the limit of ${this.#tableLimit} (RFC 7541 §6.3)`);
    }
    this.#table.resize(size);
    this.#updateRequired = false;
  }

  /** RFC 7541 §6.1. */
  #indexed(): HeaderField {
    return this.#entry(this.#integer(0x7f));
  }

  /** RFC 7541 §6.2: with incremental indexing (01), without (0000), never indexed (0001). */
  #literal(first: number): HeaderField {
    const incremental = (first & 0x40) !== 0;
    const index = this.#integer(incremental ? 0x3f : 0x0f);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    const field: HeaderField = [name, this.#string()];
    if (incremental) this.#table.insert(field);
    return field;
  }

  #entry(index: number): HeaderField {
    const field = index <= STATIC_ENTRIES ? STATIC_TABLE[index] : this.#table.at(index - STATIC_ENTRIES);
    if (index === 0 || field === undefined) throw invalid(`index ${index} is in neither table (RFC 7541 §2.3.3)`);
    return field;
  }

  /** RFC 7541 §5.1. `mask` is the prefix: all its bits set mean that more bytes follow. */
  #integer(mask: number): number {
    let value = (this.#bytes[this.#at++] as number) & mask;
    if (value < mask) return value;
    let shift = 1;
    for (let count = 0; count < MOST_CONTINUATION_BYTES; count++) {
      if (this.#at >= this.#end) throw invalid("an integer is cut off (RFC 7541 §5.1)");
      const byte = this.#bytes[this.#at++] as number;
      value += (byte & 0x7f) * shift;
      if (value > LARGEST_INTEGER) break;
      if ((byte & 0x80) === 0) return value;
      shift *= 128;
    }
    throw invalid("an integer passes every limit (RFC 7541 §5.1)");
  }

  /** RFC 7541 §5.2. Octets become characters one to one; they are judged with the header rules, not here. */
  #string(): string {
    if (this.#at >= this.#end) throw invalid("a string is cut off (RFC 7541 §5.2)");
    const huffman = ((this.#bytes[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(0x7f);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw invalid("a string is longer than its block (RFC 7541 §5.2)");
    this.#at = end;
    const most = huffman ? Math.ceil((length * 8) / 5) : length;
    if (scratch.length < most) scratch = Buffer.allocUnsafe(most);
    let octets = length;
    if (huffman) octets = huffmanDecode(this.#bytes, start, end, scratch);
    else for (let i = 0; i < length; i++) scratch[i] = this.#bytes[start + i] as number;
    return scratch.toString("latin1", 0, octets);
  }
}

function invalid(why: string): Http2Error {
  return Http2Error.connection(ERROR_CODES.COMPRESSION_ERROR, `a field block cannot be decoded: ${why}`);
}

/** The tables of HPACK: the static one (RFC 7541 appendix A) and a dynamic one (§2.3.2, §4). */

/** Entries 1 to 61, index 0 unused. */
export const STATIC_TABLE: readonly (readonly [name: string, value: string])[] = [
  ["", ""],
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** The number of the last static entry; dynamic entries follow it (RFC 7541 §2.3.3). */
export const STATIC_ENTRIES = STATIC_TABLE.length - 1;

/** What an entry costs beyond its name and value (RFC 7541 §4.1; the same in RFC 9113 §6.5.2). */
export const ENTRY_OVERHEAD = 32;

/** RFC 9113 §6.5.2: the octets of a table until SETTINGS_HEADER_TABLE_SIZE says another. */
export const DEFAULT_TABLE_BYTES = 4096;

export type HeaderField = readonly [name: string, value: string];

/** Octets of a field as RFC 7541 §4.1 counts them; each character is one octet. */
export function fieldSize(name: string, value: string): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

/** First in, first out, bounded by bytes. Entry 1 is the newest. A ring, so that neither end moves the others. */
export class DynamicTable {
  #ring: (HeaderField | undefined)[] = new Array(16);
  #newest = 0;
  #count = 0;
  #size = 0;
  #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get count(): number {
    return this.#count;
  }

  /** Octets in use. */
  get size(): number {
    return this.#size;
  }

  /** Octets that may be used. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Changes the capacity, evicting as far as needed (RFC 7541 §4.3). */
  resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evict(capacity);
  }

  /** Inserts as the newest. A field larger than the table empties it and is not kept (RFC 7541 §4.4). */
  insert(field: HeaderField): void {
    const size = fieldSize(field[0], field[1]);
    this.#evict(this.#capacity - size);
    if (size > this.#capacity) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#count++;
    this.#size += size;
  }

  /** Entry `position`, 1 being the newest; undefined beyond the end. */
  at(position: number): HeaderField | undefined {
    if (position < 1 || position > this.#count) return undefined;
    return this.#ring[(this.#newest - position + 1) & (this.#ring.length - 1)];
  }

  /** The newest entry with this name and value; 0 when there is none. */
  find(name: string, value: string): number {
    const mask = this.#ring.length - 1;
    for (let position = 1; position <= this.#count; position++) {
      const field = this.#ring[(this.#newest - position + 1) & mask] as HeaderField;
      if (field[1] === value && field[0] === name) return position;
    }
    return 0;
  }

  /** The newest entry with this name; 0 when there is none. */
  findName(name: string): number {
    const mask = this.#ring.length - 1;
    for (let position = 1; position <= this.#count; position++) {
      if ((this.#ring[(this.#newest - position + 1) & mask] as HeaderField)[0] === name) return position;
    }
    return 0;
  }

  #evict(target: number): void {
    while (this.#count > 0 && this.#size > target) {
      const oldest = (this.#newest - this.#count + 1) & (this.#ring.length - 1);
      const field = this.#ring[oldest] as HeaderField;
      this.#size -= fieldSize(field[0], field[1]);
      this.#ring[oldest] = undefined;
      this.#count--;
    }
  }

  #grow(): void {
    const bigger: (HeaderField | undefined)[] = new Array(this.#ring.length * 2);
    for (let position = this.#count; position >= 1; position--) bigger[this.#count - position] = this.at(position);
    this.#newest = this.#count - 1;
    this.#ring = bigger;
  }
}

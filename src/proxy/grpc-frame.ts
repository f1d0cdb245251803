/** Length-prefixed messages of gRPC over HTTP/2: one byte of flags, four of length, the message. */

const PREFIX = 5;

/** A message with its prefix, not compressed. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(PREFIX + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, PREFIX);
  return framed;
}

/** Cuts a byte stream into messages. */
export class MessageReader {
  readonly #limit: number;
  #buffer = new Uint8Array(0);

  /** `limit`: the largest message accepted, bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True while part of a message has come. */
  get incomplete(): boolean {
    return this.#buffer.length > 0;
  }

  /**
   * The messages that the bytes complete; a string instead says what is wrong with them, and then the stream is of no
   * more use.
   */
  push(bytes: Uint8Array): Uint8Array[] | string {
    const joined = new Uint8Array(this.#buffer.length + bytes.length);
    joined.set(this.#buffer);
    joined.set(bytes, this.#buffer.length);
    const messages: Uint8Array[] = [];
    let at = 0;
    while (joined.length - at >= PREFIX) {
      if (joined[at] !== 0) return "the message is compressed, which was not agreed on";
      const length = new DataView(joined.buffer).getUint32(at + 1);
      if (length > this.#limit) return `a message of ${length} bytes exceeds the limit of ${this.#limit}`;
      if (joined.length - at - PREFIX < length) break;
      messages.push(joined.slice(at + PREFIX, at + PREFIX + length));
      at += PREFIX + length;
    }
    this.#buffer = joined.slice(at);
    return messages;
  }
}

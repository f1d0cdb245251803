/** Length-prefixed messages of gRPC over HTTP/2: one byte of flags, four of length, the message. */

const PREFIX = 5;

/** A message with its prefix, not compressed. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(PREFIX + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, PREFIX);
  return framed;
}

/** Cuts a byte stream into messages. Each byte is copied once, however the stream is cut. */
export class MessageReader {
  readonly #limit: number;
  readonly #prefix = new Uint8Array(PREFIX);
  #prefixLength = 0;
  /** The message being put together, once its length is known. */
  #message: Uint8Array | undefined;
  #filled = 0;

  /** `limit`: the largest message accepted, bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** True while part of a message has come. */
  get incomplete(): boolean {
    return this.#prefixLength > 0;
  }

  /**
   * The messages that the bytes complete; a string instead says what is wrong with them, and then the stream is of no
   * more use.
   */
  push(bytes: Uint8Array): Uint8Array[] | string {
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#message === undefined) {
        const part = bytes.subarray(at, at + PREFIX - this.#prefixLength);
        this.#prefix.set(part, this.#prefixLength);
        this.#prefixLength += part.length;
        at += part.length;
        if (this.#prefixLength < PREFIX) break;
        if (this.#prefix[0] !== 0) return "the message is compressed, which was not agreed on";
        const length = new DataView(this.#prefix.buffer).getUint32(1);
        if (length > this.#limit) return `a message of ${length} bytes exceeds the limit of ${this.#limit}`;
        this.#message = new Uint8Array(length);
      }
      const part = bytes.subarray(at, at + this.#message.length - this.#filled);
      this.#message.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled < this.#message.length) break;
      messages.push(this.#message);
      this.#message = undefined;
      this.#filled = 0;
      this.#prefixLength = 0;
    }
    return messages;
  }
}

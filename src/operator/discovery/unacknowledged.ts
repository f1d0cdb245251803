/**
 * The responses that one client has not acknowledged yet. It is the only back-pressure that there is: Bun's HTTP/2
 * takes every write at once and keeps what the client does not read (seen in 1.4.5: the callbacks of 40 MB of writes
 * ran before the first byte was read), so what waits for the client must be counted by what it has confirmed.
 */
import { randomBytes } from "node:crypto";

export class Unacknowledged {
  /** Type URL → nonce → bytes, oldest first. */
  readonly #sent = new Map<string, Map<string, number>>();
  #bytes = 0;
  #count = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The client has not confirmed all that it was sent of this type. */
  has(typeUrl: string): boolean {
    return this.#sent.has(typeUrl);
  }

  /** A nonce for a response of so many bytes. It cannot be guessed: who confirms it has read the response. */
  add(typeUrl: string, bytes: number): string {
    const nonce = `${++this.#count}-${randomBytes(6).toString("base64url")}`;
    const sent = this.#sent.get(typeUrl);
    if (sent === undefined) this.#sent.set(typeUrl, new Map([[nonce, bytes]]));
    else sent.set(nonce, bytes);
    this.#bytes += bytes;
    return nonce;
  }

  /** A response is confirmed, and so is what came before it. An unknown nonce says nothing. */
  acknowledge(typeUrl: string, nonce: string): void {
    const sent = this.#sent.get(typeUrl);
    if (sent?.has(nonce) !== true) return;
    for (const [one, bytes] of sent) {
      sent.delete(one);
      this.#bytes -= bytes;
      if (one === nonce) break;
    }
    if (sent.size === 0) this.#sent.delete(typeUrl);
  }
}

/** Owns an accepted socket until it is known what becomes of it: keeps what comes early, bounded, then pauses. */
import type { OwnedSocket, SocketOwner } from "./socket.ts";

const LIMIT = 64 * 1024;

export class EarlyBytes implements SocketOwner {
  readonly #socket: OwnedSocket;
  readonly #onClosed: () => void;
  #chunks: Uint8Array[] | undefined;
  #size = 0;
  #paused = false;
  #ended = false;

  /** `onClosed`: the connection broke before anyone took it. */
  constructor(socket: OwnedSocket, onClosed: () => void) {
    this.#socket = socket;
    this.#onClosed = onClosed;
  }

  /** Gives what came so far to the owner, which the socket has already. */
  handOver(owner: SocketOwner): void {
    if (this.#paused) this.#socket.resume();
    for (const chunk of this.#chunks ?? []) owner.received(chunk);
    this.#chunks = undefined;
    if (this.#ended) owner.ended();
  }

  opened(): void {}

  received(chunk: Uint8Array): void {
    this.#chunks ??= [];
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= LIMIT && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    }
  }

  writable(): void {}

  ended(): void {
    this.#ended = true;
  }

  closed(): void {
    this.#chunks = undefined;
    this.#onClosed();
  }
}

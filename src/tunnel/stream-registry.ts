/** The streams of one connection: the open ones, whose ids were used, and how the last ones closed (RFC 9113 §5.1). */
import { ClosedStreams, type Closing } from "./closed-streams.ts";
import { LARGEST_STREAM_ID } from "./frame.ts";
import type { Stream } from "./stream.ts";

export class StreamRegistry {
  readonly #role: "client" | "server";
  readonly #open = new Map<number, Stream>();
  readonly #closed = new ClosedStreams();
  #nextLocal: number;
  #lastPeer = 0;
  #begun = 0;

  constructor(role: "client" | "server") {
    this.#role = role;
    this.#nextLocal = role === "client" ? 1 : 2;
  }

  /** Streams that are open or half-closed; only clients open them, because push is off. */
  get size(): number {
    return this.#open.size;
  }

  /** Streams that either end began so far, refused ones included. */
  get begun(): number {
    return this.#begun;
  }

  /** The largest id that the peer used; 0 for none. */
  get lastPeerId(): number {
    return this.#lastPeer;
  }

  /** No id is left for a new stream of ours (RFC 9113 §5.1.1). */
  get exhausted(): boolean {
    return this.#nextLocal > LARGEST_STREAM_ID;
  }

  get(id: number): Stream | undefined {
    return this.#open.get(id);
  }

  /** A copy: closing one while walking them is allowed. */
  all(): Stream[] {
    return [...this.#open.values()];
  }

  nextLocalId(): number {
    const id = this.#nextLocal;
    this.#nextLocal += 2;
    this.#begun++;
    return id;
  }

  /** The peer used `id` for a new stream; false when it may not (parity, or not above all before: RFC 9113 §5.1.1). */
  usePeerId(id: number): boolean {
    if (this.#role !== "server" || id % 2 !== 1 || id <= this.#lastPeer) return false;
    this.#lastPeer = id;
    this.#begun++;
    return true;
  }

  /** Nobody has used `id` yet: no frame but HEADERS and PRIORITY may come for it. */
  isIdle(id: number): boolean {
    const local = (id % 2 === 1) === (this.#role === "client");
    return local ? id >= this.#nextLocal : id > this.#lastPeer;
  }

  add(stream: Stream): void {
    this.#open.set(stream.id, stream);
  }

  remove(stream: Stream, closing: Exclude<Closing, "forgotten">): void {
    stream.closed = true;
    this.#open.delete(stream.id);
    this.#closed.add(stream.id, closing);
  }

  /** A stream that never opened was answered by RST_STREAM. */
  refuse(id: number): void {
    this.#closed.add(id, "reset-by-us");
  }

  closingOf(id: number): Closing {
    return this.#closed.get(id);
  }
}

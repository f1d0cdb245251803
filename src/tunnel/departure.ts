/** Who has said GOAWAY, and up to which stream (RFC 9113 §6.8). */
import type { Clock, Millis } from "../mesh/index.ts";
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { LARGEST_STREAM_ID } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { Pings } from "./pings.ts";

/** A peer that does not answer our PING gets the final GOAWAY after this. */
const ROUND_TRIP: Millis = 1000;

export class Departure {
  readonly #writer: FrameWriter;
  readonly #clock: Clock;
  #phase: "open" | "announced" | "final" = "open";
  #code: number = ERROR_CODES.NO_ERROR;
  #lastAccepted = LARGEST_STREAM_ID;
  #peerLast = LARGEST_STREAM_ID;
  #peerLeaves = false;
  #deadline: Disposable | undefined;

  constructor(writer: FrameWriter, clock: Clock) {
    this.#writer = writer;
    this.#clock = clock;
  }

  /** One of the two wants no new streams. */
  get leaving(): boolean {
    return this.#phase !== "open" || this.#peerLeaves;
  }

  /** No new stream will come or be opened: with the last one the connection ends. */
  get endsWithLastStream(): boolean {
    return this.#phase === "final" || this.#peerLeaves;
  }

  /** The peer opened `id` after our final word: to be ignored, it will try elsewhere. */
  ignores(id: number): boolean {
    return id > this.#lastAccepted;
  }

  /**
   * A server first announces that it will stop and only after a round trip says which stream was the last, so that no
   * request in flight is lost. `lastPeerId` is asked then.
   */
  announce(code: number, pings: Pings, lastPeerId: () => number, onFinal: () => void): void {
    if (this.#phase !== "open") return;
    this.#phase = "announced";
    this.#code = code;
    this.#writer.goAway(LARGEST_STREAM_ID, code, "");
    const final = () => {
      if (this.#phase !== "announced") return;
      this.finalWord(code, lastPeerId());
      onFinal();
    };
    this.#deadline = this.#clock.after(ROUND_TRIP, final);
    pings.send(final);
  }

  /** Says the last stream that is or was worked on; only once. */
  finalWord(code: number, lastPeerId: number): void {
    if (this.#phase === "final") return;
    this.dispose();
    this.#phase = "final";
    this.#lastAccepted = lastPeerId;
    this.#writer.goAway(lastPeerId, this.#code === ERROR_CODES.NO_ERROR ? code : this.#code, "");
  }

  /** The peer's GOAWAY. Throws when its last stream is above the one it said before. */
  peerLeaves(lastStreamId: number): void {
    if (lastStreamId > this.#peerLast) {
      throw Http2Error.connection(
        ERROR_CODES.PROTOCOL_ERROR,
        `GOAWAY raises the last stream from ${this.#peerLast} to ${lastStreamId} (RFC 9113 §6.8)`,
      );
    }
    this.#peerLast = lastStreamId;
    this.#peerLeaves = true;
  }

  /** The connection is over. */
  dispose(): void {
    this.#deadline?.[Symbol.dispose]();
  }
}

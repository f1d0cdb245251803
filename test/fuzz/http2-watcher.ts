/** Judges the callbacks of one stream, and answers as the code above would. */
import type { HeaderList, Http2Stream, StreamHandler } from "../../src/tunnel/index.ts";
import { promise } from "./target.ts";

/** What is done with a stream. */
export const BEHAVIOURS = ["silent", "echo", "refuse", "reset"] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

/** Whether the callbacks of one stream come as `StreamHandler` says. */
export class Watcher implements StreamHandler {
  readonly #log: string[];
  readonly #echoes: boolean;
  readonly #consumes: boolean;
  #heads = 0;
  #ended = false;
  #reset = false;
  closed = false;
  #data = "";
  #unsent: Uint8Array[] = [];

  constructor(log: string[], behaviour: Behaviour, consumes: boolean) {
    this.#log = log;
    this.#echoes = behaviour === "echo";
    this.#consumes = consumes;
  }

  /** No callback may come any more. */
  get over(): boolean {
    return this.#reset || this.closed;
  }

  onHeaders(stream: Http2Stream, headers: HeaderList, endStream: boolean): void {
    this.#expect(!this.#ended && this.#heads++ === 0, "one final head");
    this.#log.push(`${stream.id} head ${headers.join(" ")} ${endStream}`);
  }
  onTrailers(stream: Http2Stream, headers: HeaderList): void {
    this.#expect(!this.#ended, "trailers come before the end");
    this.#log.push(`${stream.id} trailers ${headers.join(" ")}`);
  }
  onData(stream: Http2Stream, chunk: Uint8Array): void {
    this.#expect(!this.#ended && chunk.length > 0, "data comes before the end and is not empty");
    this.#data += Buffer.from(chunk).toString("latin1");
    if (this.#consumes) stream.consume(chunk.length);
    if (!this.#echoes || stream.closed || stream.localEnded) return;
    this.#unsent.push(chunk.slice());
    this.#send(stream);
  }
  onEnd(stream: Http2Stream): void {
    this.#expect(!this.#ended, "one end");
    this.#ended = true;
    this.#log.push(`${stream.id} end after ${this.#data}`);
    if (!this.#echoes || stream.closed || stream.localEnded) return;
    this.#send(stream);
    if (this.#unsent.length === 0) stream.end();
  }
  onReset(stream: Http2Stream, code: number): void {
    this.#expect(true, "");
    promise(stream.closed, "a stream that was reset is closed");
    this.#reset = true;
    // Of a stream that a fault of the connection ends, data may have come that another cut would not have brought.
    this.#log.push(`${stream.id} reset ${code}`);
  }
  onWritable(stream: Http2Stream): void {
    this.#expect(!stream.closed && !stream.localEnded, "room is told to those that may write");
    this.#send(stream);
  }

  #send(stream: Http2Stream): void {
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const taken = stream.write(bytes);
      promise(taken >= 0 && taken <= bytes.length, "a write takes what it was given or less");
      if (taken < bytes.length) {
        this.#unsent[0] = bytes.subarray(taken);
        return;
      }
      this.#unsent.shift();
    }
    if (this.#ended && this.#echoes) stream.end();
  }

  #expect(holds: boolean, what: string): void {
    promise(!this.over, "no callback comes after the end of a stream");
    promise(holds, what);
  }
}

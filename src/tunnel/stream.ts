/**
 * The state of one stream (RFC 9113 §5.1), kept small: thousands of them idle in a proxy. It decides nothing about the
 * connection; what concerns that goes through `StreamHost`.
 */
import { Http2Error } from "./errors.ts";
import type { HeaderList, Http2Stream, StreamHandler } from "./handlers.ts";
import { ReceiveWindow } from "./receive-window.ts";

/** The connection, as its streams see it. */
export interface StreamHost {
  readonly role: "client" | "server";
  sendHead(stream: Stream, headers: HeaderList, endStream: boolean): void;
  sendData(stream: Stream, chunk: Uint8Array): number;
  sendEnd(stream: Stream, trailers: HeaderList | undefined): void;
  sendReset(stream: Stream, code: number): void;
  /** `bytes` that the peer sent on the stream were passed on. */
  passedOn(stream: Stream, bytes: number): void;
}

/** For streams that the code above wants to hear nothing of: takes and forgets. */
export const DISCARD: StreamHandler = {
  onHeaders() {},
  onData(stream, chunk) {
    stream.consume(chunk.length);
  },
  onEnd() {},
  onReset() {},
  onWritable() {},
};

export class Stream implements Http2Stream {
  readonly id: number;
  context: unknown = undefined;
  handler: StreamHandler = DISCARD;
  readonly #host: StreamHost;

  localEnded = false;
  remoteEnded = false;
  closed = false;
  /** A CONNECT that was sent or came; a tunnel once the answer is 2xx (RFC 9113 §8.5). */
  connect = false;
  tunnel = false;
  /** The request was HEAD: its response may announce a length and have no content. */
  head = false;
  /** Final head: sent (server) or received (client). */
  answered = false;
  /** Bytes of content that content-length still promises; -1 when it promises nothing (RFC 9113 §8.1.1). */
  contentLeft = -1;

  /** Bytes that the peer lets us send; negative after a shrinking SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.9.2). */
  sendWindow: number;
  /** A write was cut short by `sendWindow`. */
  starved = false;
  /** In the queue of streams that wait for room, and the one behind it. */
  waiting = false;
  nextWaiting: Stream | undefined = undefined;

  readonly receiveWindow: ReceiveWindow;
  /** Bytes that came and were not yet passed on. */
  unconsumed = 0;

  constructor(host: StreamHost, id: number, sendWindow: number, receiveWindow: number) {
    this.#host = host;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = new ReceiveWindow(receiveWindow);
  }

  respond(headers: HeaderList, endStream = false): void {
    if (this.closed) return;
    if (this.#host.role === "client") {
      throw Http2Error.misuse("wrong-role", "a client does not respond", "use request()");
    }
    if (this.answered) throw misuse("the response head was sent already", "send trailers with end()");
    this.#host.sendHead(this, headers, endStream);
  }

  write(chunk: Uint8Array): number {
    if (this.closed) return 0;
    this.#requireOpen("write");
    return this.#host.sendData(this, chunk);
  }

  end(trailers?: HeaderList): void {
    if (this.closed) return;
    this.#requireOpen("end");
    if (trailers !== undefined && this.connect) {
      throw misuse("a CONNECT tunnel has no trailers (RFC 9113 §8.5)", "call end() without them");
    }
    this.#host.sendEnd(this, trailers);
  }

  reset(code: number): void {
    if (!this.closed) this.#host.sendReset(this, code);
  }

  consume(bytes: number): void {
    if (this.closed) return;
    if (!Number.isInteger(bytes) || bytes < 0 || bytes > this.unconsumed) {
      throw Http2Error.misuse(
        "over-consumed",
        `${bytes} bytes were consumed on stream ${this.id}, which has ${this.unconsumed} outstanding`,
        "consume each byte that onData brought once",
      );
    }
    this.unconsumed -= bytes;
    this.#host.passedOn(this, bytes);
  }

  #requireOpen(what: string): void {
    if (this.localEnded) throw misuse(`${what}() after end() on stream ${this.id}`, "our side has ended");
    if (this.#host.role === "server" && !this.answered) {
      throw misuse(`${what}() before respond() on stream ${this.id}`, "send the response head first");
    }
  }
}

function misuse(what: string, hint: string): Http2Error {
  return Http2Error.misuse("wrong-state", what, hint);
}

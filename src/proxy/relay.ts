/**
 * Bytes between an application's socket and an HTTP/2 stream, both ways.
 *
 * Hot path: no promise, closure, string or array is created per chunk, unless a side is blocked. Back-pressure: what the
 * stream does not take pauses the socket; what the socket does not take is not consumed, so the peer's window closes.
 * Half-close and reset pass in both directions (RFC 9113 §8.5).
 */
import { ERROR_CODES, type HeaderList, type Http2Stream, type StreamHandler } from "../tunnel/index.ts";
import { ByteQueue } from "./byte-queue.ts";
import type { ByteCount } from "./metrics.ts";
import { abort, type OwnedSocket, type SocketOwner } from "./socket.ts";

/** How a relay ended: both FINs passed, or one side reset and the other was reset too. */
export type RelayEnd = "done" | "socket-reset" | "stream-reset";

export interface RelayObserver {
  /** The answer to CONNECT (outbound only). */
  onHead(headers: HeaderList, endStream: boolean): void;
  /**
   * The peer reset the stream before anything flowed: true when the observer brings another stream, so that the socket
   * is kept (outbound only).
   */
  onRefused?(code: number): boolean;
  /** Exactly once; `code` is the HTTP/2 error code of a stream reset. */
  onOver(end: RelayEnd, code: number): void;
}

/** Early bytes kept before both sides are there; then the socket is paused. */
const EARLY_LIMIT = 64 * 1024;

export class StreamRelay implements SocketOwner, StreamHandler {
  readonly #observer: RelayObserver;
  readonly #bytes: ByteCount;
  /** Which counter grows with bytes from the socket, and which with bytes from the stream. */
  readonly #fromSocket: keyof ByteCount;
  readonly #fromStream: keyof ByteCount;
  readonly #toStream = new ByteQueue();
  readonly #toSocket = new ByteQueue();
  #socket: OwnedSocket | undefined;
  #stream: Http2Stream | undefined;
  /** Both sides are there and agreed: bytes may pass. */
  #flowing = false;
  #paused = false;
  /** The socket's FIN came. */
  #socketEnded = false;
  /** END_STREAM came. */
  #streamEnded = false;
  /** We passed END_STREAM on as a FIN. */
  #sentFin = false;
  /** We passed the FIN on as END_STREAM. */
  #sentEnd = false;
  /** The peer has said all and reads no more. */
  #unheard = false;
  #over = false;

  /** `fromSocket`: `sent` when the socket is the one that was accepted, `received` when it is the destination's. */
  constructor(observer: RelayObserver, bytes: ByteCount, fromSocket: keyof ByteCount) {
    this.#observer = observer;
    this.#bytes = bytes;
    this.#fromSocket = fromSocket;
    this.#fromStream = fromSocket === "sent" ? "received" : "sent";
  }

  /** Binds the socket's side: from now on the relay owns the socket. */
  attachSocket(socket: OwnedSocket): void {
    socket.data = this;
    this.#socket = socket;
  }

  attachStream(stream: Http2Stream): void {
    this.#stream = stream;
  }

  /** Lets bytes pass, first what came early. */
  flow(): void {
    if (this.#over) return;
    this.#flowing = true;
    this.#flushToStream();
    if (!this.#over) this.#flushToSocket();
  }

  /** Resets both sides. */
  abort(code: number = ERROR_CODES.CONNECT_ERROR): void {
    if (this.#over) return;
    this.#finish();
    this.#stream?.reset(code);
    if (this.#socket !== undefined) abort(this.#socket);
    this.#observer.onOver("stream-reset", code);
  }

  // The socket's side.

  opened(socket: OwnedSocket): void {
    this.attachSocket(socket);
  }

  received(chunk: Uint8Array): void {
    if (this.#over) return;
    if (this.#unheard) return this.#tellUnheard();
    let rest = chunk;
    if (this.#flowing && this.#stream !== undefined && this.#toStream.size === 0) {
      const taken = this.#stream.write(chunk);
      this.#bytes[this.#fromSocket] += taken;
      if (taken === chunk.length) return;
      rest = chunk.subarray(taken);
    }
    this.#toStream.push(rest);
    if (!this.#paused && (this.#flowing || this.#toStream.size >= EARLY_LIMIT)) {
      this.#paused = true;
      this.#socket?.pause();
    }
  }

  writable(): void {
    if (!this.#over) this.#flushToSocket();
  }

  ended(): void {
    if (this.#over) return;
    this.#socketEnded = true;
    this.#flushToStream();
    this.#settle();
  }

  closed(error: Error | undefined): void {
    if (this.#over) return;
    // After our own FIN the peer's comes as a close without error (socket.ts): what it sent before still passes on.
    this.#socket = undefined;
    if (error === undefined && this.#sentFin) {
      this.#paused = false;
      return this.ended();
    }
    this.#finish();
    this.#stream?.reset(ERROR_CODES.CONNECT_ERROR);
    this.#observer.onOver("socket-reset", ERROR_CODES.CONNECT_ERROR);
  }

  // The stream's side.

  onHeaders(_stream: Http2Stream, headers: HeaderList, endStream: boolean): void {
    if (!this.#over) this.#observer.onHead(headers, endStream);
  }

  onData(stream: Http2Stream, chunk: Uint8Array): void {
    if (this.#over) return stream.consume(chunk.length);
    let rest = chunk;
    if (this.#flowing && this.#socket !== undefined && this.#toSocket.size === 0) {
      const taken = this.#socket.write(chunk);
      // A closed socket takes nothing; its own callback follows and ends the relay.
      if (taken > 0) {
        this.#bytes[this.#fromStream] += taken;
        stream.consume(taken);
        if (taken === chunk.length) return;
        rest = chunk.subarray(taken);
      }
    }
    // Bounded by the stream's window: nothing of it has been consumed.
    this.#toSocket.push(rest.slice());
  }

  onEnd(): void {
    if (this.#over) return;
    this.#streamEnded = true;
    this.#flushToSocket();
  }

  onReset(_stream: Http2Stream, code: number): void {
    if (this.#over) return;
    if (!this.#flowing) {
      this.#stream = undefined;
      if (this.#observer.onRefused?.(code) === true) return;
    } else if (this.#streamEnded && code === ERROR_CODES.NO_ERROR) {
      // The peer has said all and reads no more (RFC 9113 §8.1): what it said must still arrive.
      this.#stream = undefined;
      this.#toStream.clear();
      this.#unheard = true;
      this.#resume();
      this.#settle();
      return;
    }
    this.#finish();
    if (this.#socket !== undefined) abort(this.#socket);
    this.#observer.onOver("stream-reset", code);
  }

  onWritable(): void {
    if (!this.#over) this.#flushToStream();
  }

  #flushToStream(): void {
    const stream = this.#stream;
    if (!this.#flowing || stream === undefined || this.#sentEnd) return;
    for (let chunk = this.#toStream.peek(); chunk !== undefined; chunk = this.#toStream.peek()) {
      const taken = stream.write(chunk);
      if (this.#over) return;
      this.#bytes[this.#fromSocket] += taken;
      this.#toStream.drop(taken);
      if (taken < chunk.length) return;
    }
    if (this.#socketEnded) {
      this.#sentEnd = true;
      stream.end();
      this.#settle();
    } else this.#resume();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket?.resume();
  }

  #flushToSocket(): void {
    const socket = this.#socket;
    if (!this.#flowing || socket === undefined || this.#sentFin) return;
    for (let chunk = this.#toSocket.peek(); chunk !== undefined; chunk = this.#toSocket.peek()) {
      const taken = socket.write(chunk);
      if (taken <= 0) return;
      this.#bytes[this.#fromStream] += taken;
      this.#toSocket.drop(taken);
      this.#stream?.consume(taken);
      if (taken < chunk.length) return;
    }
    if (this.#streamEnded) {
      this.#sentFin = true;
      socket.shutdown();
      this.#settle();
    }
  }

  /** As the kernel does for a closed socket: whoever has had the end and sends on is reset. */
  #tellUnheard(): void {
    if (!this.#sentFin) return;
    this.#finish();
    if (this.#socket !== undefined) abort(this.#socket);
    this.#observer.onOver("done", ERROR_CODES.NO_ERROR);
  }

  #settle(): void {
    if (this.#over || !this.#sentFin || !(this.#sentEnd || (this.#unheard && this.#socketEnded))) return;
    this.#finish();
    this.#observer.onOver("done", ERROR_CODES.NO_ERROR);
  }

  #finish(): void {
    this.#over = true;
    this.#toStream.clear();
    this.#toSocket.clear();
  }
}

/** An established TLS socket of Bun as a Node stream, so that a Node server can take it over. */
import { Duplex } from "node:stream";

type Done = (error?: Error | null) => void;

export class TlsDuplex extends Duplex {
  readonly #socket: Bun.Socket<SocketEvents>;
  /** A chunk that the socket did not take whole. */
  #rest: Uint8Array | undefined;
  #done: Done | undefined;
  #gathering = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly encrypted = true;

  constructor(socket: Bun.Socket<SocketEvents>) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.remoteAddress = socket.remoteAddress;
    this.remotePort = socket.remotePort;
  }

  received(chunk: Uint8Array): void {
    if (!this.destroyed && !this.push(chunk)) this.#socket.pause();
  }

  drained(): void {
    const rest = this.#rest;
    const done = this.#done;
    if (rest === undefined || done === undefined) return;
    this.#rest = undefined;
    this.#done = undefined;
    this.#send(rest, done);
  }

  hungUp(error: Error | undefined): void {
    if (this.destroyed) return;
    if (error === undefined) {
      this.push(null);
      this.destroy();
    } else this.destroy(error);
  }

  override _read(): void {
    this.#socket.resume();
  }

  /** What is written in one turn leaves in one piece: a server writes the head and the body of an answer one by one. */
  override write(chunk: unknown, encoding?: BufferEncoding | Done, done?: Done): boolean {
    if (!this.#gathering) {
      this.#gathering = true;
      this.cork();
      queueMicrotask(() => {
        this.#gathering = false;
        this.uncork();
      });
    }
    return typeof encoding === "string" ? super.write(chunk, encoding, done) : super.write(chunk, encoding ?? done);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: Done): void {
    this.#send(chunk, done);
  }

  override _writev(written: { chunk: Uint8Array }[], done: Done): void {
    this.#send(Buffer.concat(written.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Done): void {
    // Not `end`: after it `terminate` and `close` do nothing, and a peer that goes on is read for ever (Bun 1.4.5).
    this.#socket.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#done?.(error);
    this.#done = undefined;
    this.#rest = undefined;
    this.#socket.terminate();
    done(error);
  }

  // What a Node server calls on a socket; `setTimeout` is its own keep-alive's business.
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  #send(chunk: Uint8Array, done: Done): void {
    const taken = this.#socket.write(chunk);
    if (taken < 0) return done(new Error("the connection is closed"));
    if (taken >= chunk.length) return done();
    this.#rest = chunk.subarray(taken);
    this.#done = done;
  }
}

/** What an accepted socket tells its owner. */
export interface SocketEvents {
  received(chunk: Uint8Array): void;
  drained(): void;
  hungUp(error: Error | undefined): void;
}

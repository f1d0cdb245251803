/**
 * What the code above and the transport ask of a connection: requests, what streams send, GOAWAY, and every way to its
 * end. What the peer's frames mean is in `FrameRules`.
 */
import type { Clock, Millis } from "../mesh/index.ts";
import { ConnectionState } from "./connection-state.ts";
import { ERROR_CODES, Http2Error } from "./errors.ts";
import { CLIENT_PREFACE, DEFAULT_WINDOW, MIN_MAX_FRAME_BYTES } from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameRules } from "./frame-rules.ts";
import type { ConnectionHandler, HeaderList, StreamHandler } from "./handlers.ts";
import { fieldSize } from "./hpack-table.ts";
import { Inbound } from "./inbound.ts";
import { announced, type LocalSettings } from "./settings.ts";
import { Stream, type StreamHost } from "./stream.ts";
import type { ByteTransport } from "./transport.ts";
import { TransportEnd } from "./transport-end.ts";

/** A field block must be whole this long after its first frame (RFC 9113 §10.5: slow header attacks). */
const BLOCK_DEADLINE: Millis = 10_000;

/** RFC 9113 §6.8 leaves debug data to us: enough for one sentence. */
const LONGEST_DEBUG = 200;

const NO_PREFACE = new Uint8Array(0);

export class Session implements StreamHost {
  readonly role: "client" | "server";
  readonly state: ConnectionState;
  readonly #handler: ConnectionHandler;
  readonly #clock: Clock;
  readonly #end: TransportEnd;
  readonly #inbound: Inbound;
  readonly #reader: FrameReader;
  #blockDeadline: Disposable | undefined;

  constructor(
    role: "client" | "server",
    transport: ByteTransport,
    handler: ConnectionHandler,
    local: LocalSettings,
    clock: Clock,
  ) {
    this.role = role;
    this.#handler = handler;
    this.#clock = clock;
    this.state = new ConnectionState(role, transport, handler, local, clock, () => this.#turn());
    const { writer } = this.state.out;
    this.#end = new TransportEnd(transport, writer, clock);
    // A list somewhat above the limit is refused for itself; only a much larger one costs the connection.
    const rules = new FrameRules(this.state, this);
    const largestBlock = local.maxHeaderListSize + MIN_MAX_FRAME_BYTES;
    this.#inbound = new Inbound(rules, largestBlock);
    const preface = role === "server" ? CLIENT_PREFACE : NO_PREFACE;
    this.#reader = new FrameReader(this.#inbound, local.maxFrameSize, largestBlock, preface);
    if (role === "client") writer.raw(CLIENT_PREFACE);
    writer.settings(announced(local, role));
    if (local.connectionWindow > DEFAULT_WINDOW) writer.windowUpdate(0, local.connectionWindow - DEFAULT_WINDOW);
    this.state.out.schedule();
  }

  // What the transport reports.

  receive(bytes: Uint8Array): void {
    if (this.state.over) return;
    try {
      this.#reader.read(bytes);
    } catch (error) {
      this.#broke(error);
    }
    this.#watchBlock();
    // Many chunks may come in one turn: what they make us say must not pile up until its end.
    if (this.state.out.overflowing) this.#turn();
  }

  transportWritable(): void {
    if (this.#end.closing) return;
    this.state.out.writer.unblock();
    this.#turn();
  }

  transportClosed(): void {
    this.#end.gone();
    this.#conclude(undefined, ERROR_CODES.CANCEL);
  }

  // What the code above asks for.

  request(headers: HeaderList, handler: StreamHandler, endStream: boolean): Stream {
    if (this.role === "server") throw Http2Error.misuse("wrong-role", "a server sends no requests", "push is off");
    const { state } = this;
    if (!state.canOpen) {
      throw Http2Error.misuse("refused", "no stream can be opened here now", "ask canOpen, wait for onCapacity");
    }
    this.#requireSize(headers);
    const block = state.out.encoder.encode(headers);
    const stream = new Stream(this, state.streams.nextLocalId(), state.peer.streamWindow, state.local.streamWindow);
    const method = headers.find(([name]) => name === ":method")?.[1];
    stream.connect = method === "CONNECT";
    stream.head = method === "HEAD";
    stream.handler = handler;
    stream.localEnded = endStream;
    state.streams.add(stream);
    state.out.writer.headers(stream.id, block, endStream, state.peer.maxFrameSize);
    state.out.schedule();
    state.couldOpen = state.canOpen;
    return stream;
  }

  ping(onAck: () => void): void {
    if (this.state.over) return;
    this.state.pings.send(onAck);
    this.state.out.schedule();
  }

  goAway(code: number): void {
    const { state } = this;
    if (state.over) return;
    const lastPeerId = () => state.streams.lastPeerId;
    if (this.role === "client") state.departure.finalWord(code, lastPeerId());
    else state.departure.announce(code, state.pings, lastPeerId, () => state.out.schedule());
    state.out.schedule();
  }

  destroy(code: number): void {
    const { state } = this;
    if (!state.over) {
      state.out.writer.goAway(state.streams.lastPeerId, code, "");
      state.out.writer.flush();
    }
    this.#end.destroy();
    this.#conclude(undefined, code === ERROR_CODES.NO_ERROR ? ERROR_CODES.CANCEL : code);
  }

  // What streams ask for.

  sendHead(stream: Stream, headers: HeaderList, endStream: boolean): void {
    const [name, status] = headers[0] ?? ["", ""];
    const interim = status.startsWith("1");
    if (name !== ":status" || status.length !== 3 || (interim && endStream)) {
      throw Http2Error.misuse("bad-header", "a response head begins with :status", "1xx cannot end the stream");
    }
    this.state.out.headers(stream, headers, endStream);
    if (interim) return;
    stream.answered = true;
    if (endStream) this.#localEnd(stream);
  }

  sendData(stream: Stream, chunk: Uint8Array): number {
    return this.state.out.data(stream, chunk);
  }

  sendEnd(stream: Stream, trailers: HeaderList | undefined): void {
    if (trailers !== undefined && trailers.length > 0) this.state.out.headers(stream, trailers, true);
    else this.state.out.writer.endStream(stream.id);
    this.state.out.schedule();
    this.#localEnd(stream);
  }

  sendReset(stream: Stream, code: number): void {
    this.state.out.writer.rstStream(stream.id, code);
    this.state.close(stream, "reset-by-us");
  }

  passedOn(stream: Stream, bytes: number): void {
    this.state.credit(bytes);
    if (stream.remoteEnded) return;
    const increment = stream.receiveWindow.give(bytes);
    if (increment === 0) return;
    this.state.out.writer.windowUpdate(stream.id, increment);
    this.state.out.schedule();
  }

  #localEnd(stream: Stream): void {
    stream.localEnded = true;
    if (stream.remoteEnded) this.state.close(stream, "ended");
  }

  #requireSize(headers: HeaderList): void {
    let size = 0;
    for (const [name, value] of headers) size += fieldSize(name, value);
    const most = this.state.peer.maxHeaderListSize;
    if (size <= most) return;
    throw Http2Error.misuse(
      "header-list-too-large",
      `the header list of ${size} bytes passes the peer's limit of ${most}`,
      "send fewer or shorter headers",
    );
  }

  /** The end of an event-loop turn, or the transport takes bytes again: everything that can leaves. */
  #turn(): void {
    const { state } = this;
    const { writer } = state.out;
    if (this.#end.closing) return;
    writer.flush();
    if (!state.over) {
      try {
        state.out.serve();
        this.#reportCapacity();
      } catch (error) {
        this.#broke(error);
      }
      writer.flush();
    }
    if (!state.over && state.out.overflowing) {
      this.#fail(Http2Error.connection(ERROR_CODES.ENHANCE_YOUR_CALM, "the peer does not read what it makes us send"));
    }
    if (!state.over && state.finished) this.#finish();
    this.#end.flushed();
  }

  #reportCapacity(): void {
    const { state } = this;
    const can = state.canOpen;
    const regained = can && !state.couldOpen;
    state.couldOpen = can;
    if (regained) this.#handler.onCapacity?.();
  }

  /** The last stream has ended after GOAWAY: the connection closes once all is out. */
  #finish(): void {
    const { state } = this;
    state.departure.finalWord(ERROR_CODES.NO_ERROR, state.streams.lastPeerId);
    state.out.writer.flush();
    if (state.out.writer.pending > 0) return;
    this.#end.close();
    this.#conclude(undefined, ERROR_CODES.CANCEL);
  }

  /** `error` was thrown while frames were read or a callback ran. */
  #broke(error: unknown): void {
    if (error instanceof Http2Error && error.scope === "connection") {
      this.#fail(error);
      return;
    }
    const defect = Http2Error.connection(ERROR_CODES.INTERNAL_ERROR, "a callback of the connection threw");
    defect.cause = error;
    this.#fail(defect);
  }

  /** RFC 9113 §5.4.1. */
  #fail(error: Http2Error): void {
    const { state } = this;
    if (state.over) return;
    state.out.writer.goAway(state.streams.lastPeerId, error.errorCode, error.message.slice(0, LONGEST_DEBUG));
    state.out.writer.flush();
    this.#conclude(error, error.errorCode);
    this.#end.closeSoon();
  }

  /** Nothing is received any more: every stream ends with `code`, then the connection. Only the first call counts. */
  #conclude(error: Http2Error | undefined, code: number): void {
    const { state } = this;
    if (state.over) return;
    state.over = true;
    this.#reader.stop();
    state.out.stop();
    state.departure.dispose();
    this.#blockDeadline?.[Symbol.dispose]();
    let verdict = error;
    // All are closed before the first callback: what it does to another stream must not reach the wire any more.
    const lost = state.streams.all();
    for (const stream of lost) state.streams.remove(stream, "reset-by-us");
    for (const stream of lost) {
      try {
        stream.handler.onReset(stream, code);
      } catch (thrown) {
        verdict ??= Http2Error.connection(ERROR_CODES.INTERNAL_ERROR, "a callback of the connection threw");
        verdict.cause ??= thrown;
      }
    }
    this.#handler.onClose(verdict);
  }

  /** A field block that was begun must end in time. */
  #watchBlock(): void {
    const waits = this.#inbound.midBlock && !this.state.over;
    if (waits === (this.#blockDeadline !== undefined)) return;
    this.#blockDeadline?.[Symbol.dispose]();
    this.#blockDeadline = undefined;
    if (!waits) return;
    this.#blockDeadline = this.#clock.after(BLOCK_DEADLINE, () => {
      this.#fail(Http2Error.connection(ERROR_CODES.ENHANCE_YOUR_CALM, "a field block was begun and not ended in time"));
    });
  }
}

/**
 * A thin gRPC client on tunnel/'s HTTP/2, because grpc-js would cost 30 MB of memory. One connection at a time; whoever
 * calls next after it broke dials anew, so back-off is the caller's.
 */
import type { Clock, Millis } from "../mesh/index.ts";
import { ERROR_CODES, type HeaderList, type Http2Stream, type StreamHandler } from "../tunnel/index.ts";
import type { Method } from "../wire/index.ts";
import type { OperatorAddress } from "./config.ts";
import { GrpcConnection } from "./grpc-connection.ts";
import { frameMessage, MessageReader } from "./grpc-frame.ts";
import { badHead, GrpcError, type GrpcStatus, STATUS, statusOf, statusOfReset } from "./grpc-status.ts";

export interface GrpcClientOptions {
  readonly address: OperatorAddress;
  readonly clock: Clock;
  /** Roots in PEM that the server's certificate may chain to; asked for before each connection attempt. */
  readonly roots: () => Promise<string>;
  /** The service-account token; asked for before each call. */
  readonly token: () => Promise<string>;
}

export interface CallObserver<Response> {
  onMessage(message: Response): void;
  /** The last call, exactly once. */
  onEnd(status: GrpcStatus): void;
}

/** The largest message in either direction, bytes: the default of gRPC, and what wire/ decodes. */
const MESSAGE_LIMIT = 4 * 1024 * 1024;
const USER_AGENT = "tulle-proxy";

export class GrpcClient implements Disposable {
  readonly #options: GrpcClientOptions;
  /** The one that new calls use. */
  #connection: GrpcConnection | undefined;
  /** That one, and those that finish their calls after GOAWAY. */
  readonly #open = new Set<GrpcConnection>();
  #dialling: Promise<GrpcConnection> | undefined;
  #closed = false;

  constructor(options: GrpcClientOptions) {
    this.#options = options;
  }

  /** One request, one response. Throws a GrpcError; `deadline` is a span from now and covers connecting too. */
  async unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    deadline: Millis,
  ): Promise<Response> {
    let answer: Response | undefined;
    const ended = Promise.withResolvers<GrpcStatus>();
    let timer: Disposable | undefined;
    let isLate = false;
    const late = new Promise<"late">((resolve) => {
      timer = this.#options.clock.after(deadline, () => {
        isLate = true;
        resolve("late");
      });
    });
    let call: Call<Request, Response> | undefined;
    const work = (async () => {
      call = await this.open(method, { onMessage: (message) => (answer = message), onEnd: ended.resolve }, deadline);
      // Nobody waits any more: a certificate that is asked for now would be issued for nothing.
      if (isLate) call.cancel();
      call.send(request);
      call.finish();
      return await ended.promise;
    })();
    // A failure that comes after the deadline is nobody's any more.
    work.catch(() => undefined);
    let status: GrpcStatus | "late";
    try {
      status = await Promise.race([work, late]);
    } finally {
      timer?.[Symbol.dispose]();
    }
    if (status === "late") {
      call?.cancel();
      throw new GrpcError(method.path, { code: STATUS.deadlineExceeded, message: `no answer within ${deadline} ms` });
    }
    if (status.code !== STATUS.ok) throw new GrpcError(method.path, status);
    if (answer === undefined) throw new GrpcError(method.path, { code: STATUS.internal, message: "no message" });
    return answer;
  }

  /**
   * Opens a call, streaming in the directions that the method has. Throws a GrpcError when there is no connection.
   * `deadline` is announced to the server; without one the call lasts until either end closes it.
   */
  async open<Request, Response>(
    method: Method<Request, Response>,
    observer: CallObserver<Response>,
    deadline?: Millis,
  ): Promise<Call<Request, Response>> {
    let connection: Awaited<GrpcConnection["ready"]>;
    let token: string;
    try {
      [connection, token] = await Promise.all([this.#connect(), this.#options.token()]);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new GrpcError(method.path, { code: STATUS.unavailable, message });
    }
    const headers: [string, string][] = [
      [":method", "POST"],
      [":scheme", "https"],
      [":path", method.path],
      [":authority", `${this.#options.address.serverName}:${this.#options.address.port}`],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", USER_AGENT],
      ["authorization", `Bearer ${token}`],
    ];
    if (deadline !== undefined) headers.push(["grpc-timeout", `${Math.min(Math.ceil(deadline), 99_999_999)}m`]);
    const call = new Call(method, observer);
    try {
      call.start(connection.request(headers, call));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new GrpcError(method.path, { code: STATUS.unavailable, message });
    }
    return call;
  }

  /** Later calls use a new connection; those that are open go on. For a server that is up and does not answer. */
  leave(): void {
    this.#connection?.retire();
  }

  /** Ends every connection and every call. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const connection of [...this.#open]) connection.close();
  }

  async #connect(): Promise<Awaited<GrpcConnection["ready"]>> {
    if (this.#closed) throw new Error("the client is closed");
    if (this.#connection === undefined) {
      // Callers that come while the roots are read share one connection.
      this.#dialling ??= this.#dial().finally(() => {
        this.#dialling = undefined;
      });
      return (await this.#dialling).ready;
    }
    return this.#connection.ready;
  }

  async #dial(): Promise<GrpcConnection> {
    const { address, clock, roots } = this.#options;
    const connection = new GrpcConnection(address, await roots(), clock, {
      onLeaving: (leaving) => {
        if (this.#connection === leaving) this.#connection = undefined;
      },
      onClosed: (closed) => this.#open.delete(closed),
    });
    if (this.#closed) {
      connection.close();
      return connection;
    }
    this.#connection = connection;
    this.#open.add(connection);
    return connection;
  }
}

/** One call on its stream. */
export class Call<Request, Response> implements StreamHandler {
  readonly #method: Method<Request, Response>;
  readonly #observer: CallObserver<Response>;
  readonly #reader = new MessageReader(MESSAGE_LIMIT);
  #stream: Http2Stream | undefined;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #finishing = false;
  #trailers: GrpcStatus | undefined;
  #ended = false;

  constructor(method: Method<Request, Response>, observer: CallObserver<Response>) {
    this.#method = method;
    this.#observer = observer;
  }

  start(stream: Http2Stream): void {
    this.#stream = stream;
  }

  /** Sends a message; after the end of the call it does nothing. */
  send(request: Request): void {
    if (this.#ended || this.#finishing) return;
    const framed = frameMessage(this.#method.encodeRequest(request));
    this.#queued += framed.length;
    if (this.#queued > MESSAGE_LIMIT) {
      this.#abort({ code: STATUS.resourceExhausted, message: "the server does not read what it is sent" });
      return;
    }
    this.#queue.push(framed);
    this.#flush();
  }

  /** No more requests come. */
  finish(): void {
    this.#finishing = true;
    this.#flush();
  }

  cancel(): void {
    this.#abort({ code: STATUS.cancelled, message: "cancelled" });
  }

  onHeaders(_stream: Http2Stream, headers: HeaderList, endStream: boolean): void {
    const bad = badHead(headers);
    if (bad !== undefined) return this.#abort(bad);
    if (endStream) this.#trailers = statusOf(headers);
  }

  onTrailers(_stream: Http2Stream, headers: HeaderList): void {
    this.#trailers = statusOf(headers);
  }

  onData(stream: Http2Stream, chunk: Uint8Array): void {
    const messages = this.#reader.push(chunk);
    stream.consume(chunk.length);
    if (typeof messages === "string") return this.#abort({ code: STATUS.resourceExhausted, message: messages });
    for (const message of messages) {
      if (this.#ended) return;
      let decoded: Response;
      try {
        decoded = this.#method.decodeResponse(message);
      } catch (error) {
        return this.#abort({ code: STATUS.internal, message: `undecodable answer: ${String(error)}` });
      }
      this.#observer.onMessage(decoded);
    }
  }

  onEnd(stream: Http2Stream): void {
    if (!stream.localEnded) stream.reset(ERROR_CODES.CANCEL);
    if (this.#reader.incomplete) return this.#end({ code: STATUS.internal, message: "the answer was cut short" });
    this.#end(this.#trailers ?? { code: STATUS.unknown, message: "the answer had no status" });
  }

  onReset(_stream: Http2Stream, code: number): void {
    this.#end(statusOfReset(code));
  }

  onWritable(): void {
    this.#flush();
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#ended) return;
    for (let chunk = this.#queue[0]; chunk !== undefined; chunk = this.#queue[0]) {
      const taken = stream.write(chunk);
      this.#queued -= taken;
      if (taken < chunk.length) {
        this.#queue[0] = chunk.subarray(taken);
        return;
      }
      this.#queue.shift();
    }
    if (this.#finishing && !stream.localEnded) stream.end();
  }

  #abort(status: GrpcStatus): void {
    if (this.#ended) return;
    this.#stream?.reset(ERROR_CODES.CANCEL);
    this.#end(status);
  }

  #end(status: GrpcStatus): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#observer.onEnd(status);
  }
}

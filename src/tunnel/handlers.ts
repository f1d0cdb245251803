/** The face of a stream, and the callbacks of the code above: what happens on a connection and on its streams. */
import type { Http2Error } from "./errors.ts";

/** Lower-case names, pseudo-headers first (RFC 9113 §8.3). Each character of a value is one octet. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/**
 * One request and its response, or one CONNECT tunnel. On a stream that has ended both ways or was reset every method
 * does nothing and `write` takes 0 bytes, so that a late caller needs no check of its own.
 */
export interface Http2Stream {
  readonly id: number;
  /** Free for the code above. */
  context: unknown;
  /** We sent the last of our side. */
  readonly localEnded: boolean;
  /** The peer sent the last of its side. */
  readonly remoteEnded: boolean;
  /** Ended both ways, or reset: no callback comes any more. */
  readonly closed: boolean;

  /**
   * Server: the response head. With a `:status` of 1xx it is interim, and may come several times before the final one.
   * Throws a call error `wrong-state` when the final head was sent already, `wrong-role` on a client.
   */
  respond(headers: HeaderList, endStream?: boolean): void;
  /**
   * Sends what flow control and the output queue allow and returns how many bytes that was. Those of a large chunk are not
   * copied: nobody may write to it afterwards. After fewer than all of them, `onWritable` comes once there is room; waiting streams take turns. Throws a call error
   * `wrong-state` after `end`, and on a server before `respond`.
   */
  write(chunk: Uint8Array): number;
  /**
   * Ends our side; the other one stays open. With trailers, those are the end (not on a CONNECT tunnel). What `write`
   * did not take is not sent. Throws a call error `wrong-state` before `respond` on a server.
   */
  end(trailers?: HeaderList): void;
  /** Ends both sides at once with RST_STREAM; no callback follows. `code`: `ERROR_CODES`. */
  reset(code: number): void;
  /**
   * `bytes` of what `onData` brought have been passed on: the peer may send as many more. What was not consumed when the
   * stream closes goes back to the connection by itself. Throws a call error `over-consumed` beyond what came.
   */
  consume(bytes: number): void;
}

/**
 * What happens on one stream. The receiving side ends with exactly one `onEnd` (also when `endStream` was true in
 * `onHeaders` or `onStream`) or `onReset`; an `onReset` after `onEnd` says that our sending is no longer wanted.
 * Nothing is called after `onReset`, nor once both sides have ended.
 */
export interface StreamHandler {
  /** Client: the final response head. Interim (1xx) heads are not reported. */
  onHeaders(stream: Http2Stream, headers: HeaderList, endStream: boolean): void;
  onTrailers?(stream: Http2Stream, headers: HeaderList): void;
  /** `chunk` is never empty and valid only during the call; its credit returns by `stream.consume`. */
  onData(stream: Http2Stream, chunk: Uint8Array): void;
  /** The peer has half-closed. */
  onEnd(stream: Http2Stream): void;
  /** RST_STREAM by the peer, a stream error, or the loss of the connection (`CANCEL`). */
  onReset(stream: Http2Stream, code: number): void;
  /** There is room again after a `write` that was cut short. */
  onWritable(stream: Http2Stream): void;
}

/**
 * What happens on one connection. A callback that throws ends the connection with INTERNAL_ERROR; the exception is the
 * `cause` of the error that `onClose` gets.
 */
export interface ConnectionHandler {
  /** Server: a request came. Undefined when it needs no callbacks, because it was answered in full or reset here. */
  onStream(stream: Http2Stream, headers: HeaderList, endStream: boolean): StreamHandler | undefined;
  /** The peer's SETTINGS came. */
  onReady?(): void;
  /** Client: `canOpen` has become true again. */
  onCapacity?(): void;
  /**
   * The peer wants no new streams (RFC 9113 §6.8); called for each GOAWAY, and a graceful server sends two. Requests that
   * it did not process were reset as REFUSED_STREAM.
   */
  onGoAway?(code: number): void;
  /** A stream was reset because the peer broke a rule (RFC 9113 §5.4.2): what and why, for a log. */
  onStreamError?(streamId: number, error: Http2Error): void;
  /** The last callback. An error when the peer or the code above broke the rules; undefined otherwise. */
  onClose(error: Http2Error | undefined): void;
}

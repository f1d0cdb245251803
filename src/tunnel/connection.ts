/** One HTTP/2 connection over a byte transport (RFC 9113): the face of the room. */
import type { Clock } from "../mesh/index.ts";
import { ERROR_CODES } from "./errors.ts";
import type { ConnectionHandler, HeaderList, Http2Stream, StreamHandler } from "./handlers.ts";
import { Session } from "./session.ts";
import { type LocalSettings, localSettings } from "./settings.ts";
import { MONOTONIC_CLOCK } from "./system-clock.ts";
import type { ByteTransport } from "./transport.ts";

export interface ConnectionOptions {
  readonly role: "client" | "server";
  /** Already connected; with TLS, already authenticated. */
  readonly transport: ByteTransport;
  readonly handler: ConnectionHandler;
  readonly settings?: Partial<LocalSettings>;
  /** For abuse budgets and deadlines; spans only. Default: the runtime's monotonic clock. */
  readonly clock?: Clock;
}

/**
 * Prior-knowledge HTTP/2. The owner of the transport reports to `receive`, `transportWritable` and `transportClosed`.
 * Frames of one event-loop turn leave in one transport write. Callbacks run inside `receive`, or at the end of a turn.
 */
export class Http2Connection {
  /** Free for the code above. */
  context: unknown = undefined;
  readonly #session: Session;

  /** Sends the preface and SETTINGS at the end of the turn. Throws a call error `bad-setting`. */
  constructor(options: ConnectionOptions) {
    this.#session = new Session(
      options.role,
      options.transport,
      options.handler,
      localSettings(options.settings ?? {}),
      options.clock ?? MONOTONIC_CLOCK,
    );
  }

  /** Client: `request` is possible now; otherwise `onCapacity` tells when, unless the connection is leaving. */
  get canOpen(): boolean {
    return this.#session.state.canOpen;
  }

  /** Streams that are open or half-closed. */
  get openStreams(): number {
    return this.#session.state.streams.size;
  }

  /** How many streams the peer lets us have at a time: 100 until its SETTINGS came, then what they say, or Infinity. */
  get peerMaxConcurrentStreams(): number {
    return this.#session.state.peer.maxConcurrentStreams;
  }

  /** No callback comes any more but what `onClose` was. */
  get closed(): boolean {
    return this.#session.state.over;
  }

  /** Bytes from the transport, cut anywhere; they may be reused after the call. */
  receive(bytes: Uint8Array): void {
    this.#session.receive(bytes);
  }

  /** The transport takes bytes again after a short write. May come without need. */
  transportWritable(): void {
    this.#session.transportWritable();
  }

  /** The transport is closed, by whomever: open streams are reset with CANCEL. */
  transportClosed(): void {
    this.#session.transportClosed();
  }

  /**
   * Client: sends a request head; the pseudo-headers come first (RFC 9113 §8.3), for CONNECT only `:method` and
   * `:authority` (§8.5). Throws call errors `refused` when `canOpen` is false, `header-list-too-large`, `bad-header`,
   * and `wrong-role` on a server.
   */
  request(headers: HeaderList, handler: StreamHandler, endStream = false): Http2Stream {
    return this.#session.request(headers, handler, endStream);
  }

  /** Sends PING; `onAck` is called when its answer comes, and never if the connection ends before. */
  ping(onAck: () => void): void {
    this.#session.ping(onAck);
  }

  /**
   * Leaves gracefully: no new streams (a server first announces it and waits a round trip, RFC 9113 §6.8), open ones
   * finish, then the transport is closed and `onClose` called.
   */
  goAway(code: number = ERROR_CODES.NO_ERROR): void {
    this.#session.goAway(code);
  }

  /** Ends at once: open streams are reset with `code` (CANCEL for NO_ERROR), the transport is destroyed. */
  destroy(code: number = ERROR_CODES.NO_ERROR): void {
    this.#session.destroy(code);
  }
}

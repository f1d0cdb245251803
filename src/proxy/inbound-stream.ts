/** One request on a tunnel: judged, dialled, answered, then bytes both ways. */
import type { SpiffeId } from "../identity/index.ts";
import { type Clock, type Ip, parseAuthority, REASON_HEADER, type Reason } from "../mesh/index.ts";
import { ERROR_CODES, type HeaderList, type Http2Stream, type StreamHandler } from "../tunnel/index.ts";
import type { AccessLog } from "./access-log.ts";
import { descriptorsAreShort, NO_DESCRIPTORS } from "./descriptors.ts";
import { Dial, type DialObserver } from "./dial.ts";
import { isOwnPort, type PodNetwork } from "./guard.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint } from "./outcome.ts";
import type { TunnelPlace } from "./peer-limits.ts";
import { type RelayEnd, type RelayObserver, StreamRelay } from "./relay.ts";
import type { OwnedSocket } from "./socket.ts";

/** Undefined: the peer may. Otherwise why not. */
export type Authorize = (peer: SpiffeId, ip: Ip, port: number) => Reason | undefined;

export interface InboundContext {
  readonly network: PodNetwork;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
  readonly authorize: Authorize;
  readonly peer: SpiffeId;
  readonly place: TunnelPlace;
  readonly source: Endpoint | undefined;
  /** The tunnel socket's own address. */
  readonly localIp: Ip | undefined;
}

export class InboundStream implements RelayObserver, DialObserver {
  readonly #context: InboundContext;
  readonly #stream: Http2Stream;
  readonly #destination: Endpoint;
  readonly #relay: StreamRelay;
  readonly #dial: Dial;
  /** The relay and the dial's own socket: the place of the stream is held until both are gone. */
  #parts = 2;
  #recorded = false;
  #over = false;

  /**
   * Answers (ARCHITECTURE.md "Flow"): 400 for a wrong method or authority, 503 for one of the mesh's own ports, 401
   * denied by policy; otherwise the relay, and 200 or 503 once the dial has ended. Without a relay the stream is reset
   * when more of the request may come: nobody listens.
   */
  static accept(context: InboundContext, stream: Http2Stream, headers: HeaderList): StreamHandler | undefined {
    const target = readTarget(headers, context);
    const { accessLog, peer, source } = context;
    if (target === undefined) {
      const detail = "not a CONNECT to the address that the tunnel came in by";
      accessLog.refuse({ direction: "inbound", reason: "failed-connect", source, peer, detail });
      stream.respond([[":status", "400"]], true);
      return undefined;
    }
    const reason = isOwnPort(context.network.ports, target.port)
      ? "refused-own-port"
      : context.authorize(context.peer, target.ip, target.port);
    if (reason !== undefined) {
      accessLog.refuse({ direction: "inbound", reason, source, destination: target, peer });
      stream.respond(refusal(reason === "refused-own-port" ? "503" : "401", reason), true);
      return undefined;
    }
    const detail = shortageOf(context.place);
    if (detail !== undefined) {
      accessLog.refuse({ direction: "inbound", reason: "failed-overload", source, destination: target, peer, detail });
      stream.respond(refusal("503", "failed-overload"), true);
      return undefined;
    }
    return new InboundStream(context, stream, target).#relay;
  }

  private constructor(context: InboundContext, stream: Http2Stream, destination: Endpoint) {
    this.#context = context;
    this.#stream = stream;
    this.#destination = destination;
    context.metrics.inbound.opened++;
    this.#relay = new StreamRelay(this, context.metrics.inbound, "received");
    this.#relay.attachStream(stream);
    // The pod's own address, never loopback: an application that listens on loopback stays out of reach.
    this.#dial = new Dial(context.clock, destination.ip, destination.port, this);
  }

  onOpen(socket: OwnedSocket): void {
    this.#record("mtls");
    this.#relay.attachSocket(socket);
    this.#stream.respond([[":status", "200"]]);
    this.#relay.flow();
  }

  onFailed(detail: string): void {
    if (this.#over) return;
    this.#record("failed-connect", detail);
    this.#stream.respond(refusal("503", "failed-connect"), true);
    // What the client still sends is not wanted any more (RFC 9113 §8.1).
    if (!this.#stream.closed) this.#stream.reset(ERROR_CODES.NO_ERROR);
    this.#relay.abort(ERROR_CODES.NO_ERROR);
  }

  onSettled(): void {
    this.#partOver();
  }

  onHead(): void {
    // A server gets no response.
  }

  onOver(_end: RelayEnd, _code: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#dial.cancel();
    this.#record("failed-connect", "the client closed first");
    this.#context.metrics.inbound.closed++;
    this.#partOver();
  }

  #partOver(): void {
    if (--this.#parts === 0) this.#context.place.giveStream();
  }

  #record(reason: Reason, detail?: string): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const { accessLog, peer, source } = this.#context;
    accessLog.record({ direction: "inbound", reason, source, destination: this.#destination, peer, detail });
  }
}

/** Takes a place for a stream; otherwise says what there is too little of. */
function shortageOf(place: TunnelPlace): string | undefined {
  if (descriptorsAreShort()) return NO_DESCRIPTORS;
  return place.takeStream() ? undefined : `this peer has ${place.mostStreams} connections`;
}

/** The target of a proper CONNECT to the address that this tunnel came in by; undefined otherwise (RFC 9113 §8.5). */
function readTarget(headers: HeaderList, context: InboundContext): Endpoint | undefined {
  let method: string | undefined;
  let authority: string | undefined;
  for (const [name, value] of headers) {
    if (name === ":method") method = value;
    else if (name === ":authority") authority = value;
    else if (name === ":path" || name === ":scheme" || name === ":protocol") return undefined;
  }
  if (method !== "CONNECT" || authority === undefined) return undefined;
  const target = parseAuthority(authority);
  if (target === undefined || target.ip !== context.localIp || context.network.isLoopback(target.ip)) return undefined;
  return target;
}

function refusal(status: string, reason: Reason): HeaderList {
  return [
    [":status", status],
    [REASON_HEADER, reason],
  ];
}

/** Connections of the pod's application: captured on loopback, routed by discovery, tunnelled, passed on or refused. */
import type { SpiffeId } from "../identity/index.ts";
import {
  type Clock,
  formatAuthority,
  type Ip,
  isReason,
  type Millis,
  parseIp,
  REASON_HEADER,
  type Reason,
} from "../mesh/index.ts";
import { ERROR_CODES, type HeaderList, type Http2Connection } from "../tunnel/index.ts";
import type { AccessLog } from "./access-log.ts";
import type { Load } from "./address-book.ts";
import { descriptorsAreShort, NO_DESCRIPTORS } from "./descriptors.ts";
import { CONNECT_TIMEOUT, Dial, type DialObserver, errorText } from "./dial.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { headerValue } from "./grpc-status.ts";
import { isOwnPort, type PodNetwork } from "./guard.ts";
import { type Listener, listenOnAll } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint } from "./outcome.ts";
import type { StreamWaiter, TunnelPool } from "./pool.ts";
import { type RelayEnd, type RelayObserver, StreamRelay } from "./relay.ts";
import type { Resolver } from "./resolver.ts";
import type { Route } from "./route.ts";
import { abort, type OwnedSocket } from "./socket.ts";
import { Splice } from "./splice.ts";

export interface OutboundOptions {
  readonly network: PodNetwork;
  readonly resolver: Resolver;
  readonly pool: TunnelPool;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
}

/** A stream that ended before anything was sent on it goes to another tunnel, so often in all. */
const ATTEMPTS = 3;
/** For the peer's answer to CONNECT: longer than its own dial may take. */
const ANSWER_TIMEOUT: Millis = CONNECT_TIMEOUT + 5_000;

export class OutboundListener implements Disposable {
  readonly #options: OutboundOptions;
  readonly #listeners: readonly Listener[];
  readonly #open = new Set<OutboundConnection>();

  /** Binds at once. Throws ProxyError `bind-failed`. */
  constructor(options: OutboundOptions) {
    this.#options = options;
    const { network } = options;
    this.#listeners = listenOnAll(
      network.outboundHosts,
      {
        port: network.ports.outbound,
        what: "outbound capture",
        allowHalfOpen: true,
        direction: "outbound",
        accessLog: options.accessLog,
        accept: (socket) => this.#accept(socket),
      },
      network.ips.some((ip) => ip.includes(":")),
    );
  }

  /** Takes no new connections. */
  stop(): void {
    for (const listener of this.#listeners) listener.stop();
  }

  /** Resets what is open. */
  [Symbol.dispose](): void {
    this.stop();
    for (const connection of [...this.#open]) connection.abort();
  }

  #accept(socket: OwnedSocket): void {
    const connection = new OutboundConnection(this.#options, socket, () => this.#open.delete(connection));
    this.#open.add(connection);
    connection.start();
  }
}

class OutboundConnection implements StreamWaiter, RelayObserver, DialObserver {
  readonly #options: OutboundOptions;
  readonly #socket: OwnedSocket;
  readonly #onOver: () => void;
  readonly #source: Endpoint | undefined;
  readonly #early: EarlyBytes;
  #destination: Endpoint | undefined;
  #route: Exclude<Route, { kind: "refuse" }> | undefined;
  #relay: StreamRelay | undefined;
  #splice: Splice | undefined;
  #wait: Disposable | undefined;
  #dial: Dial | undefined;
  #load: Load | undefined;
  #answerBy: Disposable | undefined;
  #attempts = 0;
  #recorded = false;
  #over = false;

  constructor(options: OutboundOptions, socket: OwnedSocket, onOver: () => void) {
    this.#options = options;
    this.#socket = socket;
    this.#onOver = onOver;
    const ip = parseIp(socket.remoteAddress);
    this.#source = ip === undefined ? undefined : { ip, port: socket.remotePort };
    this.#early = new EarlyBytes(socket, () => this.#gaveUp());
    socket.data = this.#early;
    options.metrics.outbound.opened++;
  }

  start(): void {
    const { network, resolver } = this.#options;
    const destination = network.originalDestination(this.#socket);
    this.#destination = destination;
    if (destination === undefined) return this.#refuse("refused-own-port", "the connection was not redirected");
    const { ip, port } = destination;
    if (network.isLoopback(ip)) return this.#refuse("refused-own-port", "the destination is loopback");
    if (network.ips.includes(ip) && isOwnPort(network.ports, port)) {
      return this.#refuse("refused-own-port", "the destination is this proxy");
    }
    this.#wait = resolver.resolve(ip, port, (route) => this.#take(route));
  }

  abort(): void {
    this.#refuse("failed-overload", "the proxy is shutting down");
  }

  #take(route: Route): void {
    if (this.#over) return;
    if (route.kind === "refuse") return this.#refuse(route.reason, route.detail);
    this.#route = route;
    if (route.kind === "plain") return this.#pass(route.ip, route.port);
    this.#load = route.load;
    route.load.active++;
    this.#relay = new StreamRelay(this, this.#options.metrics.outbound, "sent");
    this.#relay.attachSocket(this.#socket);
    this.#early.handOver(this.#relay);
    this.#acquire(route.peer, route.ip);
  }

  // Through a tunnel.

  #acquire(peer: SpiffeId, ip: Ip): void {
    this.#attempts++;
    this.#options.pool.acquire(peer, ip, this);
  }

  onTunnel(connection: Http2Connection): void {
    const relay = this.#relay;
    const route = this.#route;
    // The application may have given up while the tunnel was dialled.
    if (this.#over || relay === undefined || route === undefined) return;
    try {
      const head: HeaderList = [
        [":method", "CONNECT"],
        [":authority", formatAuthority(route.ip, route.port)],
      ];
      relay.attachStream(connection.request(head, relay));
      this.#answerBy?.[Symbol.dispose]();
      this.#answerBy = this.#options.clock.after(ANSWER_TIMEOUT, () =>
        this.#refuse("failed-connect", "the peer did not answer CONNECT"),
      );
    } catch (error) {
      this.#refuse("failed-overload", errorText(error));
    }
  }

  onNoTunnel(reason: Reason, detail: string): void {
    this.#refuse(reason, detail);
  }

  onHead(headers: HeaderList): void {
    if (headerValue(headers, ":status") !== "200") return this.#refuse(...readRefusal(headers));
    this.#answerBy?.[Symbol.dispose]();
    this.#record("mtls");
    this.#relay?.flow();
  }

  /** Nothing of the application was sent yet, so the stream may be tried again: it was refused, or its tunnel broke. */
  onRefused(code: number): boolean {
    const route = this.#route;
    const again = code === ERROR_CODES.REFUSED_STREAM || code === ERROR_CODES.CANCEL;
    if (!again || this.#attempts >= ATTEMPTS || route?.kind !== "tunnel") return false;
    this.#acquire(route.peer, route.ip);
    return !this.#over;
  }

  onOver(end: RelayEnd, code: number): void {
    if (end === "socket-reset") this.#record("failed-connect", "the client closed first");
    else this.#record("failed-connect", `the peer reset the stream with code ${code}`);
    this.#finish();
  }

  // In plaintext.

  #pass(ip: Ip, port: number): void {
    if (descriptorsAreShort()) return this.#refuse("failed-overload", NO_DESCRIPTORS);
    this.#splice = new Splice(this.#options.metrics.outbound, () => {
      this.#record("failed-connect", "the client closed first");
      this.#finish();
    });
    this.#splice.app.opened(this.#socket);
    this.#early.handOver(this.#splice.app);
    if (!this.#over) this.#dial = new Dial(this.#options.clock, ip, port, this);
  }

  onOpen(socket: OwnedSocket): void {
    const route = this.#route;
    if (route?.kind === "plain") this.#record(route.reason);
    this.#splice?.far.opened(socket);
  }

  onFailed(detail: string): void {
    this.#refuse("failed-connect", detail);
  }

  // The end.

  #gaveUp(): void {
    this.#record("failed-connect", "the client closed first");
    this.#finish();
  }

  /** Always a RST: the SYN was accepted long ago, and a FIN would look like an empty success. */
  #refuse(reason: Reason, detail: string): void {
    if (this.#over) return;
    this.#record(reason, detail);
    this.#finish();
    this.#relay?.abort();
    this.#splice?.abort();
    abort(this.#socket);
  }

  #record(reason: Reason, detail?: string): void {
    if (this.#recorded) return;
    this.#recorded = true;
    const route = this.#route;
    this.#options.accessLog.record({
      direction: "outbound",
      reason,
      source: this.#source,
      destination: this.#destination,
      peer: reason === "mtls" && route?.kind === "tunnel" ? route.peer : undefined,
      detail,
    });
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#wait?.[Symbol.dispose]();
    this.#dial?.cancel();
    this.#answerBy?.[Symbol.dispose]();
    if (this.#load !== undefined) this.#load.active--;
    this.#options.metrics.outbound.closed++;
    this.#onOver();
  }
}

/** A peer's word is believed only if it is in the closed list and no success: it did not carry anything. */
function readRefusal(headers: HeaderList): [Reason, string] {
  const status = headerValue(headers, ":status") ?? "";
  const word = headerValue(headers, REASON_HEADER);
  if (
    (status === "401" || status === "503") &&
    word !== undefined &&
    isReason(word) &&
    /^(refused|failed)-/.test(word)
  ) {
    return [word, "said by the peer"];
  }
  if (status === "401") return ["refused-policy", "the peer answered 401"];
  return [
    "failed-connect",
    /^\d{3}$/.test(status) ? `the peer answered ${status}` : "the peer answered without a status",
  ];
}

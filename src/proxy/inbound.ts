/** The listener on 15008: every connection gets the newest certificate and must prove an identity of our trust domain. */
import type { SpiffeId, TrustDomain } from "../identity/index.ts";
import { type Clock, type Ip, type Millis, parseIp, type Reason, SourceLimit, SourceRate } from "../mesh/index.ts";
import {
  type ConnectionHandler,
  ERROR_CODES,
  type HeaderList,
  type Http2Connection,
  type Http2Error,
  type Http2Stream,
  type StreamHandler,
} from "../tunnel/index.ts";
import type { AccessLog } from "./access-log.ts";
import type { Credentials } from "./credentials.ts";
import { CONNECT_TIMEOUT, errorText } from "./dial.ts";
import type { PodNetwork } from "./guard.ts";
import { Http2Socket } from "./http2-socket.ts";
import { type Authorize, InboundStream } from "./inbound-stream.ts";
import { ALPN_H2, judgeClient, TLS_OPTIONS } from "./judge.ts";
import { LifeSigns, LOOK_EVERY } from "./life-signs.ts";
import { type Listener, listenOnFirst } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint } from "./outcome.ts";
import { PeerLimits, type TunnelPlace } from "./peer-limits.ts";
import { type OwnedSocket, reportDefectOf, type SocketOwner, TLS_HANDLERS } from "./socket.ts";

export interface InboundOptions {
  readonly network: PodNetwork;
  readonly trustDomain: TrustDomain;
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
  readonly authorize: Authorize;
  /** Default: the mesh's numbers. */
  readonly peers?: PeerLimits;
}

/** Connections that have not proved anything yet; each costs some 10 kB and lasts 10 s at most. */
export const HANDSHAKES_AT_ONCE = 1_024;
/** And of one source: a single pod must not keep all others out. */
export const HANDSHAKES_OF_A_SOURCE = 128;
/** Of one source: a handshake costs about a millisecond of the processor, also for a peer that is refused at its end. */
export const HANDSHAKE_RATE = { every: 20, burst: 512, most: 4_096 } as const;
/** A tunnel is dialled because somebody waits for a stream; without one for so long, it is asked to leave (GOAWAY). */
export const FIRST_STREAM_LIMIT: Millis = 60_000;
/** The same for a tunnel that has had streams: twice as long as our own pool and ztunnel's keep an unused one. */
export const UNUSED_LIMIT: Millis = 10 * 60_000;

export class InboundListener implements InboundObserver, Disposable {
  readonly #options: InboundOptions;
  readonly #listener: Listener;
  readonly #handshaking = new Set<InboundTunnel>();
  readonly #sources = new SourceLimit(HANDSHAKES_OF_A_SOURCE);
  readonly #rates: SourceRate;
  readonly #peers: PeerLimits;
  readonly #established = new Set<InboundTunnel>();
  #nextLook: Disposable | undefined;

  /** Binds at once. Throws ProxyError `bind-failed`. */
  constructor(options: InboundOptions) {
    this.#options = options;
    this.#peers = options.peers ?? new PeerLimits();
    this.#rates = new SourceRate({ clock: options.clock, ...HANDSHAKE_RATE });
    this.#listener = listenOnFirst(options.network.inboundHosts, {
      port: options.network.ports.hbone,
      what: "tunnels of other pods",
      allowHalfOpen: false,
      upgraded: true,
      direction: "inbound",
      accessLog: options.accessLog,
      accept: (socket) => this.#accept(socket),
    });
  }

  /** Tunnels with a verified peer. */
  get size(): number {
    return this.#established.size;
  }

  /** Takes no new tunnels and no new streams; what is open may end by itself. */
  drain(): void {
    this.#listener.stop();
    for (const tunnel of [...this.#handshaking]) tunnel.destroy();
    for (const tunnel of this.#established) tunnel.drain();
  }

  /** Cuts what is open. */
  [Symbol.dispose](): void {
    this.#listener.stop();
    for (const tunnel of [...this.#handshaking, ...this.#established]) tunnel.destroy();
  }

  #accept(socket: OwnedSocket): void {
    const tunnel = new InboundTunnel(this.#options, this.#peers, socket, this);
    if (!this.#rates.take(tunnel.peerAddress)) return tunnel.refuse("too many handshakes of this source");
    if (this.#handshaking.size >= HANDSHAKES_AT_ONCE || !this.#sources.take(tunnel.peerAddress)) {
      return tunnel.refuse("too many handshakes at once");
    }
    this.#handshaking.add(tunnel);
    tunnel.start(socket);
  }

  onEstablished(tunnel: InboundTunnel): void {
    this.#proved(tunnel);
    this.#established.add(tunnel);
    this.#watch();
  }

  onOver(tunnel: InboundTunnel): void {
    this.#proved(tunnel);
    this.#established.delete(tunnel);
    if (this.#established.size > 0) return;
    this.#nextLook?.[Symbol.dispose]();
    this.#nextLook = undefined;
  }

  #watch(): void {
    this.#nextLook ??= this.#options.clock.after(LOOK_EVERY, () => {
      this.#nextLook = undefined;
      for (const tunnel of [...this.#established]) tunnel.look();
      if (this.#established.size > 0) this.#watch();
    });
  }

  /** It holds no place of its source any more. */
  #proved(tunnel: InboundTunnel): void {
    if (this.#handshaking.delete(tunnel)) this.#sources.give(tunnel.peerAddress);
  }
}

interface InboundObserver {
  /** The peer has proved who it is. */
  onEstablished(tunnel: InboundTunnel): void;
  /** Nothing is left of it. Once. */
  onOver(tunnel: InboundTunnel): void;
}

class InboundTunnel implements SocketOwner, ConnectionHandler {
  readonly #options: InboundOptions;
  readonly #peers: PeerLimits;
  readonly #observer: InboundObserver;
  readonly #source: Endpoint | undefined;
  /** The address that the peer dialled: the only one that its streams may name. */
  readonly #localIp: Ip | undefined;
  /** Text, as the kernel tells it. */
  readonly peerAddress: string;
  #socket: OwnedSocket;
  #deadline: Disposable | undefined;
  #connection: Http2Connection | undefined;
  #life: LifeSigns | undefined;
  #peer: SpiffeId | undefined;
  #place: TunnelPlace | undefined;
  /** A stream came: ever, and since the last look. */
  #everUsed = false;
  #used = false;
  #unusedFor: Millis = 0;
  #over = false;

  constructor(options: InboundOptions, peers: PeerLimits, socket: OwnedSocket, observer: InboundObserver) {
    this.#options = options;
    this.#peers = peers;
    this.#observer = observer;
    this.#socket = socket;
    this.peerAddress = socket.remoteAddress;
    const ip = parseIp(socket.remoteAddress);
    this.#source = ip === undefined ? undefined : { ip, port: socket.remotePort };
    this.#localIp = parseIp(socket.localAddress);
  }

  refuse(detail: string): void {
    this.#fail("failed-overload", detail);
  }

  start(socket: OwnedSocket): void {
    const tls = this.#options.credentials.current();
    if (tls === undefined) return this.#fail("failed-no-certificate", "this proxy has no valid certificate");
    this.#expect("no handshake within 10 s");
    try {
      const [, upgraded] = socket.upgradeTLS<SocketOwner>({
        data: this,
        socket: TLS_HANDLERS,
        tls: {
          ...tls,
          isServer: true,
          requestCert: true,
          rejectUnauthorized: true,
          ALPNProtocols: ALPN_H2,
          secureOptions: TLS_OPTIONS,
        } as Bun.TLSOptions,
      });
      this.#socket = upgraded;
    } catch (error) {
      this.#fail("failed-no-certificate", errorText(error));
    }
  }

  drain(): void {
    this.#connection?.goAway();
  }

  /** Every `LOOK_EVERY`: cuts a tunnel whose peer is gone, and asks one that nobody uses to leave. */
  look(): void {
    if (this.#life?.look() === false) return this.destroy();
    if (this.#used || this.#connection === undefined || this.#connection.openStreams > 0) {
      this.#used = false;
      this.#unusedFor = 0;
      return;
    }
    this.#unusedFor += LOOK_EVERY;
    if (this.#unusedFor >= (this.#everUsed ? UNUSED_LIMIT : FIRST_STREAM_LIMIT)) this.drain();
  }

  destroy(): void {
    this.#end();
    this.#connection?.destroy();
    this.#socket.terminate();
  }

  // The socket.

  opened(): void {}

  handshaken(error: Error | null): void {
    if (this.#over) return;
    const verdict = judgeClient(this.#socket, error, this.#options.trustDomain);
    if (!verdict.ok) return this.#fail(verdict.reason, verdict.detail, verdict.peer);
    // A peer that proves itself and then says nothing must not keep the socket either.
    this.#expect("no HTTP/2 within 10 s");
    this.#peer = verdict.peer;
    this.#options.metrics.inbound.handshakes++;
    this.#place = this.#peers.admit(verdict.peer, this.peerAddress);
    if (this.#place === undefined) {
      return this.#fail("failed-overload", `this peer has ${this.#peers.numbers.tunnels} tunnels`, verdict.peer);
    }
    this.#observer.onEstablished(this);
    this.#connection = new Http2Socket(this.#socket, {
      role: "server",
      clock: this.#options.clock,
      handler: this,
      settings: this.#place.settings,
      onClosed: () => this.#end(),
    }).connection;
    this.#life = new LifeSigns(this.#connection);
  }

  // Of the socket before there is HTTP/2 on it.

  received(): void {}
  writable(): void {}

  ended(): void {
    this.#socket.end();
  }

  closed(): void {
    this.#fail("failed-handshake", "the client closed the connection");
  }

  // HTTP/2.

  onReady(): void {
    this.#deadline?.[Symbol.dispose]();
  }

  onStream(stream: Http2Stream, headers: HeaderList, _endStream: boolean): StreamHandler | undefined {
    const { network, clock, metrics, accessLog, authorize } = this.#options;
    if (this.#peer === undefined || this.#place === undefined) return undefined;
    this.#everUsed = true;
    this.#used = true;
    const context = {
      network,
      clock,
      metrics,
      accessLog,
      authorize,
      peer: this.#peer,
      place: this.#place,
      source: this.#source,
      localIp: this.#localIp,
    };
    return InboundStream.accept(context, stream, headers);
  }

  onClose(error: Http2Error | undefined): void {
    reportDefectOf(error);
    if (error !== undefined && error.cause === undefined) {
      const reason = error.errorCode === ERROR_CODES.ENHANCE_YOUR_CALM ? "failed-overload" : "failed-handshake";
      this.#refused(reason, `the tunnel was cut: ${error.message}`, this.#peer);
    }
    this.#end();
  }

  /** What comes next has to come in time. */
  #expect(orElse: string): void {
    this.#deadline?.[Symbol.dispose]();
    this.#deadline = this.#options.clock.after(CONNECT_TIMEOUT, () =>
      this.#fail("failed-handshake", orElse, this.#peer),
    );
  }

  /** There is no tunnel and will be none. */
  #fail(reason: Reason, detail: string, peer?: SpiffeId): void {
    if (this.#over) return;
    if (this.#peer === undefined) this.#options.metrics.inbound.handshakesFailed++;
    this.#refused(reason, detail, peer);
    this.#end();
    this.#socket.terminate();
  }

  #refused(reason: Reason, detail: string, peer: SpiffeId | undefined): void {
    const { accessLog, network } = this.#options;
    accessLog.refuse({
      direction: "inbound",
      reason,
      source: this.#source,
      destination: this.#localIp === undefined ? undefined : { ip: this.#localIp, port: network.ports.hbone },
      peer,
      detail,
    });
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline?.[Symbol.dispose]();
    this.#place?.give();
    this.#observer.onOver(this);
  }
}

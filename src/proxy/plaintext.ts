/** The listener on 15006: plaintext that arrived for the pod and was redirected. The mode decides. */
import { type Clock, type Mode, parseIp, type Reason } from "../mesh/index.ts";
import type { AccessLog } from "./access-log.ts";
import { descriptorsAreShort, NO_DESCRIPTORS } from "./descriptors.ts";
import { Dial, type DialObserver } from "./dial.ts";
import { EarlyBytes } from "./early-bytes.ts";
import { isOwnPort, type PodNetwork } from "./guard.ts";
import { type Listener, listenOnFirst } from "./listen.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint } from "./outcome.ts";
import { abort, type OwnedSocket } from "./socket.ts";
import { Splice } from "./splice.ts";

export interface PlaintextOptions {
  readonly network: PodNetwork;
  /** Asked for at each connection. */
  readonly mode: () => Mode;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly accessLog: AccessLog;
}

export class PlaintextListener implements Disposable {
  readonly #options: PlaintextOptions;
  readonly #listener: Listener;
  readonly #open = new Set<PlaintextConnection>();

  /** Binds at once. Throws ProxyError `bind-failed`. */
  constructor(options: PlaintextOptions) {
    this.#options = options;
    this.#listener = listenOnFirst(options.network.inboundHosts, {
      port: options.network.ports.inboundPlaintext,
      what: "inbound plaintext",
      allowHalfOpen: true,
      direction: "inbound",
      accessLog: options.accessLog,
      accept: (socket) => this.#accept(socket),
    });
  }

  /** Takes no new connections. */
  stop(): void {
    this.#listener.stop();
  }

  /** Resets what is open. */
  [Symbol.dispose](): void {
    this.stop();
    for (const connection of [...this.#open]) connection.abort();
  }

  #accept(socket: OwnedSocket): void {
    const connection = new PlaintextConnection(this.#options, socket, () => this.#open.delete(connection));
    this.#open.add(connection);
    connection.start();
  }
}

class PlaintextConnection implements DialObserver {
  readonly #options: PlaintextOptions;
  readonly #socket: OwnedSocket;
  readonly #onOver: () => void;
  readonly #source: Endpoint | undefined;
  readonly #early: EarlyBytes;
  readonly #splice: Splice;
  #destination: Endpoint | undefined;
  #dial: Dial | undefined;
  #recorded = false;
  #over = false;

  constructor(options: PlaintextOptions, socket: OwnedSocket, onOver: () => void) {
    this.#options = options;
    this.#socket = socket;
    this.#onOver = onOver;
    const ip = parseIp(socket.remoteAddress);
    this.#source = ip === undefined ? undefined : { ip, port: socket.remotePort };
    this.#splice = new Splice(options.metrics.inbound, () => this.#end("failed-connect", "the client closed first"));
    this.#early = new EarlyBytes(socket, () => this.#end("failed-connect", "the client closed first"));
    socket.data = this.#early;
    options.metrics.inbound.opened++;
  }

  start(): void {
    const { network, mode, clock } = this.#options;
    const destination = network.originalDestination(this.#socket);
    this.#destination = destination;
    if (destination === undefined || destination.port === network.ports.inboundPlaintext) {
      return this.#refuse("refused-own-port", "the connection was not redirected");
    }
    if (isOwnPort(network.ports, destination.port)) return this.#refuse("refused-own-port");
    if (mode() === "strict") return this.#refuse("refused-strict");
    // A neighbour that routes packets for others to this pod must not find a relay in it.
    if (!network.ips.includes(destination.ip)) return this.#refuse("failed-connect", "not an address of this pod");
    if (descriptorsAreShort()) return this.#refuse("failed-overload", NO_DESCRIPTORS);
    this.#splice.app.opened(this.#socket);
    this.#early.handOver(this.#splice.app);
    this.#dial = new Dial(clock, destination.ip, destination.port, this);
  }

  abort(): void {
    this.#refuse("failed-overload", "the proxy is shutting down");
  }

  onOpen(socket: OwnedSocket): void {
    this.#record("plaintext-permissive");
    this.#splice.far.opened(socket);
  }

  onFailed(detail: string): void {
    this.#refuse("failed-connect", detail);
  }

  #refuse(reason: Reason, detail?: string): void {
    if (this.#over) return;
    this.#end(reason, detail);
    this.#splice.abort();
    abort(this.#socket);
  }

  #end(reason: Reason, detail?: string): void {
    if (this.#over) return;
    this.#record(reason, detail);
    this.#over = true;
    this.#dial?.cancel();
    this.#options.metrics.inbound.closed++;
    this.#onOver();
  }

  #record(reason: Reason, detail?: string): void {
    if (this.#recorded) return;
    this.#recorded = true;
    this.#options.accessLog.record({
      direction: "inbound",
      reason,
      source: this.#source,
      destination: this.#destination,
      detail,
    });
  }
}

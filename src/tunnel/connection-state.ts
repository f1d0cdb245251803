/** What the two halves of a connection share: the calls of the code above (`Session`) and the peer's frames (`FrameRules`). */
import type { Clock } from "../mesh/index.ts";
import { AbuseBudgets } from "./budgets.ts";
import type { Closing } from "./closed-streams.ts";
import { Departure } from "./departure.ts";
import type { ConnectionHandler } from "./handlers.ts";
import { Outbound } from "./outbound.ts";
import { Pings } from "./pings.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { type LocalSettings, PeerSettings } from "./settings.ts";
import type { Stream } from "./stream.ts";
import { StreamRegistry } from "./stream-registry.ts";
import type { ByteTransport } from "./transport.ts";

export class ConnectionState {
  readonly role: "client" | "server";
  readonly handler: ConnectionHandler;
  readonly local: LocalSettings;
  readonly peer = new PeerSettings();
  readonly streams: StreamRegistry;
  readonly budgets: AbuseBudgets;
  readonly out: Outbound;
  readonly pings: Pings;
  readonly departure: Departure;
  /** Receive window of the connection. */
  readonly window: ReceiveWindow;
  /** Nothing is received or begun any more. */
  over = false;
  /** `canOpen` as the code above last knew it. */
  couldOpen = true;

  /** `turn` is called at the end of each event-loop turn in which something was to be sent. */
  constructor(
    role: "client" | "server",
    transport: ByteTransport,
    handler: ConnectionHandler,
    local: LocalSettings,
    clock: Clock,
    turn: () => void,
  ) {
    this.role = role;
    this.handler = handler;
    this.local = local;
    this.streams = new StreamRegistry(role);
    this.budgets = new AbuseBudgets(clock);
    this.out = new Outbound(transport, this.peer, turn);
    this.pings = new Pings(this.out.writer);
    this.departure = new Departure(this.out.writer, clock);
    this.window = new ReceiveWindow(local.connectionWindow);
  }

  /** A request may be sent now. */
  get canOpen(): boolean {
    return (
      this.role === "client" &&
      !this.over &&
      !this.departure.leaving &&
      this.streams.size < this.peer.maxConcurrentStreams &&
      !this.streams.exhausted
    );
  }

  /** Nothing is left to do on this connection. */
  get finished(): boolean {
    return this.streams.size === 0 && (this.departure.endsWithLastStream || this.streams.exhausted);
  }

  /** `bytes` of DATA need no more room here: the connection may send as many more. */
  credit(bytes: number): void {
    const increment = this.window.give(bytes);
    if (increment === 0) return;
    this.out.writer.windowUpdate(0, increment);
    this.out.schedule();
  }

  /**
   * The stream is over. Bytes that were not passed on go back to the connection's window, or every reset would take some
   * of it for good.
   */
  close(stream: Stream, closing: Exclude<Closing, "forgotten">): void {
    this.streams.remove(stream, closing);
    const unconsumed = stream.unconsumed;
    stream.unconsumed = 0;
    if (unconsumed > 0) this.credit(unconsumed);
    this.out.schedule();
  }
}

/**
 * What this proxy tells the operator about itself: what is applied, its leaf, its clock, its counters. A batch goes out
 * when something changed and at least every 10 s, one at a time: the next one waits for the acknowledgement.
 */
import { type Clock, type Logger, type Millis, type Random, REASONS, type Reason } from "../mesh/index.ts";
import { Direction as DirectionOnWire, METHODS, type ReportAck, type ReportBatch } from "../wire/index.ts";
import { Backoff } from "./backoff.ts";
import type { LiveCertificate } from "./certificates.ts";
import type { EdgeTable } from "./edges.ts";
import type { Call, GrpcClient } from "./grpc-client.ts";
import { DIRECTIONS, type Direction, type Metrics } from "./metrics.ts";

export interface ReportSources {
  readonly version: string;
  readonly metrics: Metrics;
  readonly edges: EdgeTable;
  bundleSequence(): number;
  reissueEpoch(): number;
  certificate(): LiveCertificate | undefined;
  draining(): boolean;
}

export interface ReporterOptions {
  readonly grpc: GrpcClient;
  readonly sources: ReportSources;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const INTERVAL: Millis = 10_000;
/** A batch that is not acknowledged by then is said again on a new stream. */
const ACK_TIMEOUT: Millis = 20_000;

export class Reporter implements Disposable {
  readonly #options: ReporterOptions;
  readonly #backoff: Backoff;
  readonly #started: Millis;
  #call: Call<ReportBatch, ReportAck> | undefined;
  #timer: Disposable | undefined;
  #sequence = 0;
  #acknowledged = 0;
  /** Something changed that the last batch did not say. */
  #dirty = false;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
    this.#started = options.clock.now();
  }

  /** Starts, and never stops until disposed. */
  start(): void {
    if (this.#closed) return;
    let opened: Call<ReportBatch, ReportAck> | undefined;
    let ended: string | undefined;
    this.#options.grpc
      .open(METHODS.pushReports, {
        onMessage: (ack) => this.#take(ack),
        onEnd: (status) => {
          ended = status.message;
          if (opened !== undefined) this.#lost(opened, status.message);
        },
      })
      .then((call) => {
        opened = call;
        if (this.#closed) return call.cancel();
        if (ended !== undefined) return this.#retry(ended);
        this.#call = call;
        this.#sequence = 0;
        this.#acknowledged = 0;
        this.#push(call);
      })
      .catch((error: unknown) => this.#retry(error instanceof Error ? error.message : String(error)));
  }

  /** A bundle, settings or a certificate is in force for new handshakes: an acknowledgement means exactly that. */
  changed(): void {
    this.#dirty = true;
    if (this.#call !== undefined && this.#acknowledged >= this.#sequence) this.#push(this.#call);
  }

  /** Resolves when the operator has acknowledged all there was to say, or when there is nobody to say it to. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#call === undefined || (this.#acknowledged >= this.#sequence && !this.#dirty)) this.#settle();
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#call?.cancel();
    this.#settle();
  }

  #push(call: Call<ReportBatch, ReportAck>): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(ACK_TIMEOUT, () => call.cancel());
    this.#dirty = false;
    this.#sequence++;
    call.send(this.#batch(this.#sequence));
  }

  #take(ack: ReportAck): void {
    const call = this.#call;
    this.#acknowledged = Number(ack.sequence);
    if (call === undefined || this.#acknowledged < this.#sequence) return;
    if (this.#dirty) return this.#push(call);
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(INTERVAL, () => {
      // Only a stream that lasts ends the back-off: one that is cut after each answer must not be a storm.
      this.#backoff.reset();
      this.#push(call);
    });
    this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #batch(sequence: number): ReportBatch {
    const { sources, clock } = this.#options;
    const leaf = sources.certificate();
    return {
      sequence,
      clockMillis: clock.now(),
      startedMillis: this.#started,
      proxyVersion: sources.version,
      bundleSequence: sources.bundleSequence(),
      reissueEpoch: sources.reissueEpoch(),
      leaf:
        leaf === undefined
          ? undefined
          : {
              serial: leaf.serial,
              issuerKeyId: leaf.issuerKeyId,
              notAfterMillis: leaf.notAfter,
              epoch: leaf.epoch,
            },
      draining: sources.draining(),
      counters: counters(sources.metrics),
      edges: [...sources.edges.all()].map((edge) => ({
        direction: onWire(edge.direction),
        peer: edge.peer ?? "",
        destination: edge.destination,
        port: edge.port,
        reason: edge.reason,
        connections: edge.connections,
        lastSeenMillis: edge.lastSeen,
      })),
      edgesDropped: sources.edges.dropped,
    };
  }

  #lost(call: Call<ReportBatch, ReportAck>, why: string): void {
    if (this.#call !== call) return;
    this.#call = undefined;
    this.#settle();
    this.#retry(why);
  }

  #retry(why: string): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    const wait = this.#backoff.next();
    this.#options.logger.log("debug", "reports are away", { error: why, retryInMillis: Math.round(wait) });
    this.#timer = this.#options.clock.after(wait, () => this.start());
  }
}

function counters(metrics: Metrics): ReportBatch["counters"] {
  const found: ReportBatch["counters"][number][] = [];
  for (const direction of DIRECTIONS) {
    for (const reason of Object.keys(REASONS) as Reason[]) {
      const connections = metrics.of(direction, reason);
      if (connections > 0) found.push({ reason, direction: onWire(direction), connections });
    }
  }
  return found;
}

function onWire(direction: Direction): DirectionOnWire {
  return direction === "inbound" ? DirectionOnWire.DIRECTION_INBOUND : DirectionOnWire.DIRECTION_OUTBOUND;
}

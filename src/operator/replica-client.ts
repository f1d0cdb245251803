/** Follows what another replica hears, for as long as that replica is there. */
import * as grpc from "@grpc/grpc-js";
import type { Clock, Logger, Millis } from "../mesh/index.ts";
import { METHODS, type ReplicaReport, type ReplicasRequest } from "../wire/index.ts";
import { definition } from "./grpc.ts";
import { reportFromWire } from "./replica-report.ts";
import type { ReportTable } from "./reports.ts";

export interface ReplicaClientOptions {
  /** Name of the other replica's pod. */
  readonly replica: string;
  /** `10.0.0.5:15012` or `[fd00::5]:15012`. */
  readonly address: string;
  /** The name that its certificate carries. */
  readonly host: string;
  /** Roots in PEM. */
  readonly roots: () => string;
  /** The service-account token of this replica. */
  readonly token: () => Promise<string>;
  readonly table: Pick<ReportTable, "takeRemote" | "lostReplica">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const AGAIN_AFTER: Millis = 2_000;
const KEEPALIVE: Millis = 10_000;

export class ReplicaClient implements Disposable {
  readonly #options: ReplicaClientOptions;
  #client: grpc.Client | undefined;
  #call: { cancel(): void } | undefined;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(options: ReplicaClientOptions) {
    this.#options = options;
    void this.#follow();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    // A closed client still hears what its open calls are told.
    this.#call?.cancel();
    this.#client?.close();
    this.#options.table.lostReplica(this.#options.replica);
  }

  async #follow(): Promise<void> {
    const { address, host, roots, token, table, replica, logger } = this.#options;
    try {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", `Bearer ${await token()}`);
      if (this.#closed) return;
      this.#client = new grpc.Client(address, grpc.credentials.createSsl(Buffer.from(roots())), {
        "grpc.ssl_target_name_override": host,
        "grpc.keepalive_time_ms": KEEPALIVE,
        "grpc.keepalive_timeout_ms": KEEPALIVE,
      });
      const { path, requestSerialize, responseDeserialize } = definition<ReplicasRequest, ReplicaReport>(
        METHODS.followReplica,
      );
      const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
      this.#call = call;
      call.on("data", (message: ReplicaReport) => {
        if (this.#closed) return;
        try {
          const report = reportFromWire(message, replica);
          if (report !== undefined) table.takeRemote(report);
        } catch (error) {
          logger.log("warn", "a replica told what cannot be used", { replica, error: String(error) });
        }
      });
      call.on("error", (error: Error) => this.#again(error.message));
      call.on("end", () => this.#again("the stream ended"));
    } catch (error) {
      this.#again(String(error));
    }
  }

  #again(why: string): void {
    if (this.#closed || this.#timer !== undefined) return;
    const { table, replica, clock, logger } = this.#options;
    logger.log("debug", "a replica is away", { replica, error: why });
    table.lostReplica(replica);
    this.#client?.close();
    this.#timer = clock.after(AGAIN_AFTER, () => {
      this.#timer = undefined;
      void this.#follow();
    });
  }
}

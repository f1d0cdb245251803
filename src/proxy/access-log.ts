/**
 * How each connection ended, in metrics and log alike: one word of the closed list. Failures and refusals are one line
 * each, but never more lines than the limit below: a hostile peer must not fill the node's disk.
 */
import { type Clock, formatAuthority, type Logger, type LogLevel, type Millis, type Reason } from "../mesh/index.ts";
import type { EdgeTable } from "./edges.ts";
import type { Metrics } from "./metrics.ts";
import type { Endpoint, Outcome } from "./outcome.ts";

const BURST = 50;
const LINES_PER_SECOND = 10;

export class AccessLog {
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #edges: EdgeTable;
  #tokens = BURST;
  #refilled: Millis;
  #suppressed = 0;

  constructor(metrics: Metrics, logger: Logger, clock: Clock, edges: EdgeTable) {
    this.#metrics = metrics;
    this.#logger = logger;
    this.#clock = clock;
    this.#edges = edges;
    this.#refilled = clock.now();
  }

  /** The same for a connection that ended as it began. */
  refuse(outcome: Outcome): void {
    this.#metrics[outcome.direction].opened++;
    this.#metrics[outcome.direction].closed++;
    this.record(outcome);
  }

  /** Counts the connection's reason and writes its line. */
  record(outcome: Outcome): void {
    this.#metrics.count(outcome.direction, outcome.reason);
    this.#edges.observe(outcome);
    const level = levelOf(outcome.reason);
    if (!this.#logger.enabled(level)) return;
    if (level !== "debug" && !this.#take()) return;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    this.#logger.log(level, "connection", {
      direction: outcome.direction,
      reason: outcome.reason,
      source: format(outcome.source),
      destination: format(outcome.destination),
      peer: outcome.peer,
      detail: outcome.detail,
      suppressed: suppressed === 0 ? undefined : suppressed,
    });
  }

  /** A token bucket. */
  #take(): boolean {
    const now = this.#clock.now();
    // A clock that was set back refills nothing and must not stop the log for good.
    const elapsed = Math.max(0, now - this.#refilled);
    this.#refilled = now;
    this.#tokens = Math.min(BURST, this.#tokens + (elapsed / 1000) * LINES_PER_SECOND);
    if (this.#tokens < 1) {
      this.#suppressed++;
      return false;
    }
    this.#tokens--;
    return true;
  }
}

/** Refusals are somebody's decision or attack (warn), failures are weather (info), the rest is normal (debug). */
function levelOf(reason: Reason): LogLevel {
  if (reason.startsWith("refused-")) return "warn";
  return reason.startsWith("failed-") ? "info" : "debug";
}

function format(endpoint: Endpoint | undefined): string | undefined {
  return endpoint === undefined ? undefined : formatAuthority(endpoint.ip, endpoint.port);
}

/** The tests: each puts one load on one pair and tells what it measured, by the keys of metrics.ts. */
import { BULK_DIRECTIONS, type BulkDirection, bulk } from "./load/curl.ts";
import { type PacedLoad, type WrkResult, wrk } from "./load/wrk.ts";
import type { Proxies } from "./pairs/pair.ts";
import { Meter, residentMegabytes } from "./usage.ts";
import type { Running } from "./workspace.ts";

export interface Measured {
  readonly values: Readonly<Record<string, number>>;
  /** Cores that others used meanwhile; of a test with parts, the most. */
  readonly others: number;
  /** Connections and requests that failed. */
  readonly errors: number;
}

/** Requests/s of the test `fixed`. */
export const FIXED_RATE = 1_000;
/** Of the nginx pair's requests/s with keep-alive: the rate of the test `seventy`. */
export const SHARE_OF_MAXIMUM = 0.7;
const KEEPALIVE_CONNECTIONS = 64;
const NEW_CONNECTIONS_AT_ONCE = 32;

/** Requests as fast as they are answered. */
export function keepalive(running: Running, seconds: number): Promise<Measured> {
  const options = { connections: KEEPALIVE_CONNECTIONS, seconds };
  return requests(running, "keepalive", () => wrk(running.stage.client, options));
}

/** As fast as they are answered, each over a connection of its own. */
export function newConnections(running: Running, seconds: number): Promise<Measured> {
  const options = { connections: NEW_CONNECTIONS_AT_ONCE, seconds, close: true };
  return requests(running, "newconn", () => wrk(running.stage.client, options));
}

/** Requests at a rate, the same for all pairs. */
export function paced(
  running: Running,
  test: "fixed" | "seventy",
  load: PacedLoad,
  seconds: number,
): Promise<Measured> {
  return requests(running, test, () => load.run(seconds));
}

/** The large file of the folder `files`, by one connection each way. */
export async function transfers(
  running: Running,
  files: string,
  directions: readonly BulkDirection[] = BULK_DIRECTIONS,
): Promise<Measured> {
  const values: Record<string, number> = {};
  let others = 0;
  for (const direction of directions) {
    const meter = meterOf(running);
    const { bytes, megabytesPerSecond } = await bulk(running.stage.client, direction, files);
    const usage = meter.stop();
    others = Math.max(others, usage.others);
    values[`bulk.${direction}`] = megabytesPerSecond;
    values[`bulk.${direction}-cpu`] = usage.proxies / (bytes / 2 ** 30);
  }
  return { values, others, errors: 0 };
}

/** MiB. */
export function residentOf({ outbound, inbound }: Proxies): { readonly outbound: number; readonly inbound: number } {
  return { outbound: residentMegabytes(outbound.pid), inbound: residentMegabytes(inbound.pid) };
}

async function requests(running: Running, test: string, load: () => Promise<WrkResult>): Promise<Measured> {
  const meter = meterOf(running);
  const result = await load();
  const usage = meter.stop();
  return {
    values: {
      [`${test}.rate`]: result.perSecond,
      [`${test}.p50`]: result.p50,
      [`${test}.p99`]: result.p99,
      [`${test}.cpu`]: (usage.proxies * 1e6) / result.requests,
    },
    others: usage.others,
    errors: result.errors,
  };
}

function meterOf({ proxies }: Running): Meter {
  return new Meter(proxies === undefined ? [] : [proxies.outbound.pid, proxies.inbound.pid]);
}

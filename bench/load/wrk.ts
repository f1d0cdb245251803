/** wrk as the client: requests over kept or new connections, as fast as they are answered or at a rate. */
import { join } from "node:path";
import type { NetworkNamespace } from "../../test/support/netns.ts";
import { APP_URL } from "../addresses.ts";

export interface WrkOptions {
  readonly connections: number;
  readonly seconds: number;
  /** A connection for each request. */
  readonly close?: boolean;
  /** Mean milliseconds that a connection waits before a request; 0 unless told. */
  readonly pause?: number;
}

export interface WrkResult {
  readonly requests: number;
  readonly perSecond: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Connections and requests that failed, and answers that are not 2xx or 3xx. */
  readonly errors: number;
}

/** Throws when wrk fails or nothing was answered. */
export async function wrk(client: NetworkNamespace, options: WrkOptions): Promise<WrkResult> {
  const { connections, seconds, close = false, pause } = options;
  const command = ["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "-s", join(import.meta.dir, "report.lua")];
  const output = await client.run([...command, ...(close ? ["-H", "Connection: close"] : []), APP_URL], {
    variables: pause === undefined ? {} : { PAUSE_MS: String(pause) },
    timeout: seconds * 1_000 + 30_000,
  });
  return parseWrk(output);
}

/** Reads the line of report.lua out of what wrk printed. Throws when it is not there or tells of no request. */
export function parseWrk(output: string): WrkResult {
  const line = output.split("\n").find((candidate) => candidate.startsWith("{"));
  if (line === undefined) throw new Error(`wrk told no result: ${output.trim().slice(-500)}`);
  const { requests, micros, p50, p99, errors } = JSON.parse(line) as Record<string, number>;
  if (requests === undefined || micros === undefined || p50 === undefined || p99 === undefined || errors === undefined)
    throw new Error(`wrk told something else: ${line}`);
  if (requests === 0) throw new Error(`wrk got no answer: ${line}`);
  return { requests, perSecond: (requests * 1e6) / micros, p50, p99, errors };
}

/** Mean pause of a connection at a rate: long against an answer's time, so that a slow pair is asked almost as often. */
const PACED_PAUSE_MS = 10;
const CALIBRATION_SECONDS = 1;

/** Requests at a rate: connections that each wait 10 ms on average before a request. */
export class PacedLoad {
  readonly #client: NetworkNamespace;
  readonly #connections: number;

  private constructor(client: NetworkNamespace, connections: number) {
    this.#client = client;
    this.#connections = connections;
  }

  /** Finds out, in one second, how many connections make that many requests/s with this pair. */
  static async calibrated(client: NetworkNamespace, rate: number): Promise<PacedLoad> {
    const guess = Math.max(1, Math.round((rate * PACED_PAUSE_MS) / 1_000));
    const trial = await new PacedLoad(client, guess).run(CALIBRATION_SECONDS);
    return new PacedLoad(client, connectionsFor(rate, guess, trial.perSecond));
  }

  /** A pair that cannot answer as many requests shows it in `perSecond`. */
  run(seconds: number): Promise<WrkResult> {
    return wrk(this.#client, { pause: PACED_PAUSE_MS, connections: this.#connections, seconds });
  }
}

/**
 * How many connections make `rate` when `connections` of them made `achieved`; at most twice as many, so that a pair which cannot
 * keep up is not drowned.
 */
export function connectionsFor(rate: number, connections: number, achieved: number): number {
  return Math.max(1, Math.min(2 * connections, Math.round((connections * rate) / achieved)));
}

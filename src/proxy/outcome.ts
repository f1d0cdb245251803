/** How a connection ended: what metrics, log and reports are told of it. */
import type { SpiffeId } from "../identity/index.ts";
import type { Ip, Reason } from "../mesh/index.ts";
import type { Direction } from "./metrics.ts";

export interface Outcome {
  readonly direction: Direction;
  readonly reason: Reason;
  readonly source?: Endpoint | undefined;
  readonly destination?: Endpoint | undefined;
  /** Only an identity that was verified. */
  readonly peer?: SpiffeId | undefined;
  /** What went wrong, in our own words or as an error code. */
  readonly detail?: string | undefined;
}

export interface Endpoint {
  readonly ip: Ip;
  readonly port: number;
}

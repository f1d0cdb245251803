/** What a pair of proxies is to the benchmark. */
import type { OwnedProcess } from "../../test/support/netns.ts";
import type { Credentials } from "../credentials.ts";
import type { Stage } from "../stage.ts";

/** The two that were started. */
export interface Proxies {
  readonly outbound: OwnedProcess;
  readonly inbound: OwnedProcess;
  /** Called after the measurements, before the processes are ended. Throws when what was measured was not what it should be. */
  readonly finish?: () => Promise<void>;
}

export interface Pair {
  readonly name: string;
  /** One line for the tables: what it is and how it is set. */
  readonly about: string;
  /** Its program, by path or by name; without it the pair is left out. Undefined when it needs none. */
  readonly program?: string;
  /** The command that prints its version, on either output. */
  readonly version?: readonly string[];
  /** Starts both on the stage, with the client's connections captured. Undefined: there is no proxy. */
  start(stage: Stage, credentials: Credentials): Promise<Proxies | undefined>;
}

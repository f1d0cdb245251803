/** What the supervisor hands to the inner runner, as the first line of its standard input. */
import type { Mode } from "../../mesh/index.ts";
import type { Mount } from "../container/oci.ts";
import type { Placed } from "../manifest/placed.ts";

export interface NodeConfig {
  readonly version: string;
  /** Seen from the machine: hidden from containers. */
  readonly stateDirectory: string;
  readonly objects: readonly Placed[];
  readonly inject: boolean;
  /** How pods treat plaintext where neither namespace nor pod says. */
  readonly mode: Mode;
  readonly trustDomain: string;
  /** Lifetime of workload certificates in milliseconds; the authority's default when undefined. */
  readonly leafLifetime?: number | undefined;
  readonly ownImage: OwnImage;
  /** Both families, as `planAddresses` takes them. */
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** True when the supervisor attaches the node to the machine's network. */
  readonly egress: boolean;
}

/** How the entry point of the mesh's own image gets into its containers. */
export interface OwnImage {
  readonly name: string;
  readonly mounts: readonly Mount[];
  /** Text of a script to be mounted at /usr/local/bin/tulle; undefined when the binary itself is mounted. */
  readonly wrapper: string | undefined;
}

/** The error class of cluster/. */
import { TulleError } from "../mesh/index.ts";

/**
 * What keeps the operator on Kubernetes from starting or from signing. Codes: `ca-store-missing`, `ca-store-changed`,
 * `bad-flag`, `bind-failed`.
 */
export class ClusterError extends TulleError {}

/**
 * local: a node on one machine. Reads manifests, makes the pods' namespaces, containers, names and addresses, and runs the
 * operator beside them. Touches nothing of the machine that it did not make, and leaves nothing.
 */
export { planAddresses, podCapacity } from "./addresses.ts";
export { CRUN } from "./container/runtime.ts";
export { PlayClient } from "./control/client.ts";
export type * from "./control/protocol.ts";
export { LocalError } from "./errors.ts";
export { type Manifest, parseManifests } from "./manifest/parse.ts";
export type { Placed } from "./manifest/placed.ts";
export { formatProblem, ManifestError } from "./manifest/problems.ts";
export type { NodeConfig, OwnImage } from "./runner/config.ts";
export { linesOf, type PlayEvent } from "./runner/events.ts";
export { runInner } from "./runner/load.ts";
export { type PodStatus, readyColumn, restartsOf, statusColumn, troubles } from "./runner/status.ts";
export {
  cleanLeftOver,
  liveRunner,
  processStartTime,
  STATE_DIRECTORY_VARIABLE,
  statePaths,
} from "./state/directory.ts";
export type { EgressChoice } from "./supervisor/egress.ts";
export { checkRoot } from "./supervisor/preflight.ts";
export { machineRoutes } from "./supervisor/routes.ts";
export { supervise } from "./supervisor/supervise.ts";

/** Errors of the local room: wrong manifests (exit 2) and what is wrong with the machine (exit 1). */
import { TulleError } from "../mesh/index.ts";

/** What goes wrong when a manifest is read or run on this machine; `code` names the case. */
export class LocalError extends TulleError {}

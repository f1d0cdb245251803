/** The error class of proxy/. */
import { TulleError } from "../mesh/index.ts";

/**
 * What keeps a proxy from starting or from doing one thing. Codes: `missing-variable`, `bad-variable`, `bind-failed`,
 * `bad-answer`, `unreadable-file`.
 */
export class ProxyError extends TulleError {}

/** The errors of this room. */
import { TulleError } from "../mesh/index.ts";

/**
 * Codes: `bad-values`, `bad-set`, `bad-template`, `helm-manages`, `other-namespace`, `not-installed`, `not-ready`,
 * `no-record`, `meshed-pods`, `may-not-look`, `no-namespace`.
 */
export class InstallError extends TulleError {}

/** Wrong use: what the user typed, or the file that they named. */
export function wrongUse(
  code: "bad-values" | "bad-set" | "no-namespace",
  message: string,
  hint?: string,
): InstallError {
  return new InstallError(code, message, { exitCode: 2, ...(hint === undefined ? {} : { hint }) });
}

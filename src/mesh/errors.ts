/** What every error that a user may see has: a stable code, whose fault it is, and what to do. */

/** 1: something is wrong with the machine or the mesh; 2: something is wrong with the input. */
export type ExitCode = 1 | 2;

/**
 * Base of each room's error class. `message` says what failed and why, `hint` what to do about it;
 * `code` is stable and safe to match on.
 */
export class TulleError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly exitCode: ExitCode;

  constructor(code: string, message: string, options: { hint?: string; exitCode?: ExitCode; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

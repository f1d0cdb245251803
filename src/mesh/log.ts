/** Structured log: a constant message and fields. Secrets (keys, tokens) never become fields. */

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
  /** True when a line of this level would be written: lets a hot path skip building fields. */
  enabled(level: LogLevel): boolean;
}

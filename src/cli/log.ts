/** The log of the machine roles: one JSON object a line, on stderr. */
import type { Clock, LogFields, Logger, LogLevel } from "../mesh/index.ts";
import { LOG_LEVELS } from "../mesh/index.ts";

/** Writes lines of the given level and of the more serious ones. JSON escapes whatever a peer put into a field. */
export function jsonLogger(level: LogLevel, clock: Clock, write: (line: string) => void = toStderr): Logger {
  const most = LOG_LEVELS.indexOf(level);
  const enabled = (one: LogLevel) => LOG_LEVELS.indexOf(one) <= most;
  return {
    enabled,
    log(one: LogLevel, message: string, fields?: LogFields): void {
      if (!enabled(one)) return;
      write(`${JSON.stringify({ time: new Date(clock.now()).toISOString(), level: one, message, ...fields })}\n`);
    },
  };
}

function toStderr(line: string): void {
  process.stderr.write(line);
}

/** The operator's log in a play, kept like a container's: `tulle logs -n tulle-system tulle-operator`. */
import { type Clock, LOG_LEVELS, type LogFields, type Logger, type LogLevel } from "../../mesh/index.ts";
import type { ContainerLog } from "../container/log.ts";

/** One JSON object a line, in the form of the proxy's log. */
export function operatorLogger(level: LogLevel, clock: Clock, log: ContainerLog): Logger {
  const most = LOG_LEVELS.indexOf(level);
  const encoder = new TextEncoder();
  const enabled = (one: LogLevel) => LOG_LEVELS.indexOf(one) <= most;
  return {
    enabled,
    log(one: LogLevel, message: string, fields?: LogFields): void {
      if (!enabled(one)) return;
      const line = { time: new Date(clock.now()).toISOString(), level: one, message, ...fields };
      log.append(encoder.encode(`${JSON.stringify(line)}\n`));
    },
  };
}

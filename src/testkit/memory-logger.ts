/** A log that keeps its lines for a test to read. */
import type { LogFields, Logger, LogLevel } from "../mesh/index.ts";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

export class MemoryLogger implements Logger {
  readonly lines: LogLine[] = [];

  enabled(): boolean {
    return true;
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.lines.push({ level, message, fields });
  }

  /** The lines of one message, oldest first. */
  of(message: string): LogLine[] {
    return this.lines.filter((line) => line.message === message);
  }
}

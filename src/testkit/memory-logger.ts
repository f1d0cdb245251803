/** A log that keeps its lines for a test to read, or to wait for. */
import type { LogFields, Logger, LogLevel } from "../mesh/index.ts";

export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

interface Waiter {
  readonly message: string;
  readonly count: number;
  readonly resolve: (line: LogLine) => void;
}

export class MemoryLogger implements Logger {
  readonly lines: LogLine[] = [];
  readonly #waiting = new Set<Waiter>();

  enabled(): boolean {
    return true;
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.lines.push({ level, message, fields });
    for (const waiter of this.#waiting) this.#serve(waiter);
  }

  /** The lines of one message, oldest first. */
  of(message: string): LogLine[] {
    return this.lines.filter((line) => line.message === message);
  }

  /** The line that is the `count`-th of its message (the first is 1), once the turn in which it was written has ended. */
  nth(message: string, count: number): Promise<LogLine> {
    return new Promise((resolve) => {
      const waiter = { message, count, resolve };
      this.#waiting.add(waiter);
      this.#serve(waiter);
    });
  }

  #serve(waiter: Waiter): void {
    const line = this.of(waiter.message)[waiter.count - 1];
    if (line === undefined) return;
    this.#waiting.delete(waiter);
    setImmediate(waiter.resolve, line);
  }
}

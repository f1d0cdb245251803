/**
 * Records Events without ever getting in the way: recording returns at once and never throws, what repeats is counted in
 * one Event's series, and what is too much is dropped and counted.
 */
import type { Clock, Logger, Millis, Random } from "../mesh/index.ts";
import type { KubeClient } from "./client.ts";
import { isKubeError } from "./errors.ts";
import { cutNote, EVENTS, type Happening } from "./event.ts";
import { microTime } from "./lease.ts";
import type { ObjectReference } from "./object.ts";

export interface RecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** `tulle.dev/operator`. */
  readonly controller: string;
  /** The pod's name. */
  readonly instance: string;
}

export interface RecorderCounts {
  recorded: number;
  written: number;
  /** Not written: too many different ones, or refused by the server. */
  dropped: number;
}

/** Different Events remembered at once. */
export const MOST_EVENTS = 500;
/** Writes are gathered for so long. */
const GATHER: Millis = 1000;
/** A series is written no more often than this, and an Event that failed is tried again after it. */
const SERIES_EVERY: Millis = 30_000;
/** Then it has ended: the same again is a new Event (client-go: 6 min). */
const SERIES_ENDS: Millis = 360_000;
/** Writes in one round, so that a storm of Events is no storm of requests. */
const MOST_WRITES = 25;
const MOST_ATTEMPTS = 4;
/** How long the last writes may take at the end of a process. */
const FLUSH_TIMEOUT: Millis = 5000;

/** One Event, or the series that it has become. */
interface Entry {
  readonly happening: Happening;
  readonly name: string;
  readonly first: Millis;
  last: Millis;
  count: number;
  /** What of `count` the server knows; 0: nothing. */
  written: number;
  /** No write before. */
  notBefore: Millis;
  attempts: number;
}

export class EventRecorder implements Disposable {
  readonly counts: RecorderCounts = { recorded: 0, written: 0, dropped: 0 };
  readonly #options: RecorderOptions;
  /** Oldest use first. */
  readonly #entries = new Map<string, Entry>();
  readonly #stop = new AbortController();
  #timer: Disposable | undefined;
  /** When the timer fires. */
  #due: Millis = 0;
  #round: Promise<void> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** The same happening to the same object again within 6 minutes counts up the Event that is there. */
  record(happening: Happening): void {
    if (this.#stop.signal.aborted) return;
    const { clock, random } = this.#options;
    const now = clock.now();
    this.counts.recorded += 1;
    const key = keyOf(happening);
    let entry = this.#entries.get(key);
    if (entry !== undefined && now - entry.last > SERIES_ENDS && entry.written === entry.count) entry = undefined;
    if (entry === undefined) {
      const suffix = Buffer.from(random.bytes(8)).toString("hex");
      const name = `${happening.regarding.name.slice(0, 200)}.${suffix}`;
      const note = cutNote(happening.note);
      entry = {
        happening: { ...happening, note },
        name,
        first: now,
        last: now,
        count: 0,
        written: 0,
        notBefore: now,
        attempts: 0,
      };
    }
    entry.count += 1;
    entry.last = now;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#bound();
    this.#schedule(Math.max(GATHER, entry.notBefore - now));
  }

  /** Writes what is waiting, at the end of a process. Gives up after 5 s; then nothing is recorded any more. */
  async flush(): Promise<void> {
    const limit = this.#options.clock.after(FLUSH_TIMEOUT, () => this.#stop.abort());
    await this.#round;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    for (const entry of this.#entries.values()) entry.notBefore = 0;
    await this.#begin(MOST_EVENTS);
    limit[Symbol.dispose]();
  }

  /** Drops what is waiting; `flush` first. */
  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#timer?.[Symbol.dispose]();
    this.#entries.clear();
  }

  #bound(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= MOST_EVENTS) return;
      this.#entries.delete(key);
      this.counts.dropped += entry.written === 0 ? 1 : 0;
    }
  }

  /** A series that waits for its turn must not hold back what is new. */
  #schedule(delay: Millis): void {
    if (this.#round !== undefined || this.#stop.signal.aborted) return;
    const due = this.#options.clock.now() + delay;
    if (this.#timer !== undefined && this.#due <= due) return;
    this.#timer?.[Symbol.dispose]();
    this.#due = due;
    this.#timer = this.#options.clock.after(delay, () => {
      this.#timer = undefined;
      void this.#begin(MOST_WRITES);
    });
  }

  /** One round at a time. */
  #begin(most: number): Promise<void> {
    this.#round = this.#write(most).finally(() => {
      this.#round = undefined;
      this.#next();
    });
    return this.#round;
  }

  /** Sets the timer for what is still to be written, and forgets series that have ended. */
  #next(): void {
    const now = this.#options.clock.now();
    let due: Millis | undefined;
    for (const [key, entry] of this.#entries) {
      if (entry.written === entry.count) {
        if (now - entry.last > SERIES_ENDS) this.#entries.delete(key);
      } else due = Math.min(due ?? entry.notBefore, entry.notBefore);
    }
    if (due !== undefined) this.#schedule(Math.max(GATHER, due - now));
  }

  async #write(most: number): Promise<void> {
    const now = this.#options.clock.now();
    const due = [...this.#entries].filter(([, entry]) => entry.written < entry.count && entry.notBefore <= now);
    for (const [key, entry] of due.slice(0, most)) {
      if (this.#stop.signal.aborted) return;
      try {
        await this.#writeOne(entry);
        this.counts.written += 1;
        entry.attempts = 0;
      } catch (error) {
        this.#failed(key, entry, error);
      }
      entry.notBefore = now + SERIES_EVERY;
    }
  }

  async #writeOne(entry: Entry): Promise<void> {
    const { client } = this.#options;
    const { happening, count } = entry;
    const namespace = happening.regarding.namespace ?? "default";
    const series = count > 1 ? { count, lastObservedTime: microTime(entry.last) } : undefined;
    const options = { signal: this.#stop.signal, fieldManager: "tulle-events" };
    if (entry.written > 0) {
      try {
        await client.patch(EVENTS, { namespace, name: entry.name }, { kind: "merge", value: { series } }, options);
        entry.written = count;
        return;
      } catch (error) {
        // The server forgets Events after an hour: then it is told anew.
        if (!isKubeError(error, "not-found")) throw error;
      }
    }
    const object = {
      ...happening,
      metadata: { namespace, name: entry.name },
      eventTime: microTime(entry.first),
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance,
      ...(series === undefined ? {} : { series }),
    };
    try {
      await client.create(EVENTS, object, options);
    } catch (error) {
      // The answer to an earlier attempt was lost; a later count goes by a patch.
      if (!isKubeError(error, "already-exists")) throw error;
      entry.written = 1;
      return;
    }
    entry.written = count;
  }

  #failed(key: string, entry: Entry, error: unknown): void {
    entry.attempts += 1;
    const passing = isKubeError(
      error,
      "unreachable",
      "timeout",
      "too-many-requests",
      "unavailable",
      "server-error",
      "unauthorized",
    );
    if (passing && entry.attempts < MOST_ATTEMPTS) return;
    this.#entries.delete(key);
    this.counts.dropped += 1;
    const code = isKubeError(error) ? error.code : "defect";
    // Not told at a level that wakes someone: a namespace that is being deleted refuses every Event.
    this.#options.logger.log("debug", "an Event was not written", {
      reason: entry.happening.reason,
      code,
      error: String(error),
    });
  }
}

function keyOf({ type, reason, action, regarding, related }: Happening): string {
  return JSON.stringify([type, reason, action, idOf(regarding), related === undefined ? "" : idOf(related)]);
}

function idOf({ apiVersion, kind, namespace, name, uid }: ObjectReference): string {
  return [apiVersion, kind, namespace, name, uid].join("|");
}

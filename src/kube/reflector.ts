/**
 * Keeps a sink equal to a collection of the API server: list, watch, resume, and list again when the server has forgotten.
 * The official library's informer cannot carry a mesh: it is blind between an idle watch's end and its reconnect, knows
 * no bookmarks and no pages, and stops at most errors.
 */
import type { Clock, Logger, LogLevel, Millis, Random } from "../mesh/index.ts";
import { Backoff } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import { sleep } from "./deadline.ts";
import { isKubeError, KubeError } from "./errors.ts";
import type { KubeList, KubeObject } from "./object.ts";
import { type ReflectorCounts, ReflectorState } from "./reflector-state.ts";
import { describe, type Resource } from "./resource.ts";
import type { Sink } from "./sink.ts";
import { watch } from "./watch.ts";
import type { WatchEvent } from "./watch-event.ts";

type Event<T extends KubeObject> = Exclude<WatchEvent<T>, { type: "ERROR" }>;

export interface ReflectorOptions<T extends KubeObject, V> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** One namespace; left out for all. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What is kept of an object (memory); undefined for an object that is of no interest. */
  readonly keep: (object: T) => V | undefined;
  /** Keys are `namespace/name`, or `name` for kinds without a namespace. */
  readonly sink: Sink<V>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Objects in one page; default 500. */
  readonly pageSize?: number;
  readonly signal?: AbortSignal;
}

/** The server ends each watch after 5 to 10 minutes, so that replicas spread over API servers again. */
const WATCH_SHORTEST: Millis = 300_000;
const WATCH_LONGEST: Millis = 600_000;
/**
 * Where the API server sends bookmarks, it does about every minute; without two of them the connection is dead. TCP
 * keepalive alone (Bun: 71 s) does not tell, when a box in between answers it.
 */
const SILENCE_WITH_BOOKMARKS: Millis = 150_000;
/** How much later than announced a server without bookmarks may end its watch. */
const SILENCE_SLACK: Millis = 30_000;
/** A list of a large collection may take its time. */
const LIST_TIMEOUT: Millis = 60_000;
/** A watch that was open so long has worked, even if nothing happened: what comes next starts with a short wait again. */
const STEADY_WATCH: Millis = 10_000;
/** After so many failures in a row without a word from the server, a version is not believed any more. */
const FAILURES_BEFORE_LIST = 3;

export class Reflector<T extends KubeObject, V> implements Disposable {
  /** Fulfilled when the first list is in the sink; rejected with `aborted` when the reflector is disposed before. */
  readonly synced: Promise<void>;
  /** Fulfilled when the disposed reflector has ended. */
  readonly ended: Promise<void>;
  readonly #options: ReflectorOptions<T, V>;
  readonly #state: ReflectorState<T, V>;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  readonly #what: string;
  #markSynced: () => void = () => {};
  #isSynced = false;
  /** Resume from here; undefined: list first. */
  #version: string | undefined;
  #failuresInRow = 0;
  #lastError: KubeError | undefined;

  constructor(options: ReflectorOptions<T, V>) {
    this.#options = options;
    this.#what = describe(options.resource, { namespace: options.namespace });
    this.#backoff = new Backoff(options.random);
    this.#state = new ReflectorState(options.keep, options.sink, (key, error) =>
      options.logger.log("error", "an object was not taken", { resource: this.#what, key, error: String(error) }),
    );
    let refuse: (error: KubeError) => void = () => {};
    this.synced = new Promise((resolve, reject) => {
      this.#markSynced = resolve;
      refuse = reject;
    });
    // Whoever does not wait for it need not handle its refusal.
    this.synced.catch(() => {});
    const onAbort = () => this[Symbol.dispose]();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    this.ended = this.#run().finally(() => {
      options.signal?.removeEventListener("abort", onAbort);
      refuse(new KubeError("aborted", `gave up: list ${this.#what}`));
    });
  }

  get counts(): Readonly<ReflectorCounts> {
    return this.#state.counts;
  }

  /** Why the last attempt failed, until one succeeds: a readiness check may say so. */
  get lastError(): KubeError | undefined {
    return this.#lastError;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.#version === undefined) await this.#list();
        // A server that accepts watches and ends them at once must not be asked again at once.
        if (!(await this.#watch())) await sleep(clock, this.#backoff.next(), signal);
      } catch (error) {
        if (signal.aborted) return;
        const failure =
          error instanceof KubeError ? error : new KubeError("bad-answer", String(error), { cause: error });
        const wait = Math.max(this.#backoff.next(), failure.retryAfter ?? 0);
        this.#note(failure);
        logger.log(this.#levelOf(failure), "watch failed", {
          resource: this.#what,
          code: failure.code,
          error: failure.message,
          again_ms: Math.round(wait),
        });
        await sleep(clock, wait, signal);
      }
    }
  }

  /** One warning an outage; a forgotten version is what every restart of an API server brings. */
  #levelOf(failure: KubeError): LogLevel {
    if (this.#failuresInRow > 1) return "debug";
    return failure.code === "expired" ? "info" : "warn";
  }

  #note(failure: KubeError): void {
    const { counts } = this.#state;
    counts.failures += 1;
    this.#failuresInRow += 1;
    this.#lastError = failure;
    if (failure.code === "timeout") counts.silent += 1;
    if (failure.code === "expired") counts.expired += 1;
    // What the server cannot say, or says it has forgotten, only a list can tell. Unreachable servers are resumed, since a
    // list of everything by every client is what a returning API server bears least.
    const lostTrack = failure.code === "expired" || failure.code === "bad-answer" || failure.code === "bad-request";
    const stuck = this.#failuresInRow % FAILURES_BEFORE_LIST === 0 && failure.code !== "unreachable";
    if (lostTrack || stuck) this.#version = undefined;
  }

  async #list(): Promise<void> {
    try {
      await this.#listBy(this.#options.pageSize ?? 500);
    } catch (error) {
      if (!isKubeError(error, "expired")) throw error;
      // The continue token outlived the server's history (5 min): one unpaged list, or a slow reader would never end.
      await this.#listBy(0);
    }
    // Not the end of the back-off: a list whose watch always fails would be asked for again and again.
    this.#lastError = undefined;
    if (this.#isSynced) return;
    this.#isSynced = true;
    this.#markSynced();
  }

  async #listBy(limit: number): Promise<void> {
    // Begun anew for each try: pages of two lists together would hide what was deleted between them.
    const list = this.#state.beginList();
    let version: string | undefined;
    for await (const page of this.#pages(limit)) {
      version = page.metadata.resourceVersion ?? version;
      list.page(page.items);
    }
    if (version === undefined)
      throw new KubeError("bad-answer", `cannot list ${this.#what}: the list has no resource version`);
    list.end();
    this.#version = version;
  }

  #pages(limit: number): AsyncGenerator<KubeList<T>, void> {
    const { client, resource, namespace, labelSelector, fieldSelector } = this.#options;
    return client.pages(resource, {
      namespace,
      labelSelector,
      fieldSelector,
      limit,
      signal: this.#stop.signal,
      timeout: LIST_TIMEOUT,
    });
  }

  /** True when the server said anything, or was silent long enough to be believed. */
  async #watch(): Promise<boolean> {
    const { client, resource, namespace, labelSelector, fieldSelector, random, clock } = this.#options;
    const { counts } = this.#state;
    const serverTimeout = WATCH_SHORTEST + (WATCH_LONGEST - WATCH_SHORTEST) * random.fraction();
    let worked = false;
    // Of this watch only: the server sends none before the kind has changed since the watch began (cache_watcher.go).
    let bookmarks = false;
    const works = () => {
      worked = true;
      this.#failuresInRow = 0;
      this.#lastError = undefined;
      this.#backoff.reset();
    };
    let steady: Disposable | undefined;
    const options = {
      namespace,
      labelSelector,
      fieldSelector,
      resourceVersion: this.#version ?? "",
      serverTimeout,
      silence: () => (bookmarks ? SILENCE_WITH_BOOKMARKS : serverTimeout + SILENCE_SLACK),
      signal: this.#stop.signal,
      onOpen: () => {
        counts.watches += 1;
        this.#lastError = undefined;
        steady = clock.after(STEADY_WATCH, works);
      },
    };
    const onEvent = (event: Event<T>) => {
      if (!worked) works();
      this.#version = event.object.metadata.resourceVersion ?? this.#version;
      switch (event.type) {
        case "ADDED":
        case "MODIFIED":
          counts[event.type === "ADDED" ? "added" : "modified"] += 1;
          this.#state.put(event.object);
          break;
        case "DELETED":
          counts.deleted += 1;
          this.#state.remove(event.object);
          break;
        case "BOOKMARK":
          counts.bookmarks += 1;
          bookmarks = true;
          break;
      }
    };
    try {
      await watch(client, resource, options, onEvent);
      return worked;
    } finally {
      steady?.[Symbol.dispose]();
    }
  }
}

/**
 * The delta xDS client: one stream, several types, re-opened for ever. It knows subscriptions, acknowledgements and
 * versions, and nothing of what the resources mean.
 */
import type { Clock, Logger, Millis, Random } from "../mesh/index.ts";
import { type DeltaDiscoveryRequest, type DeltaDiscoveryResponse, METHODS, type Resource } from "../wire/index.ts";
import { Backoff } from "./backoff.ts";
import type { Call, GrpcClient } from "./grpc-client.ts";
import type { GrpcStatus } from "./grpc-status.ts";

/** One type of resource. */
export interface ResourceType {
  readonly typeUrl: string;
  /** What a new stream asks for; a type with nothing to ask for is not opened, since that would mean "everything". */
  names(): readonly string[];
  /** Resource name → version of what is held. */
  versions(): Map<string, string>;
  /**
   * Takes over one response, the good resources even when others are bad. Answers what is wrong with the bad ones, which
   * refuses the response (NACK).
   */
  apply(resources: readonly Resource[], removed: readonly string[]): readonly string[];
}

export interface DeltaStreamOptions {
  readonly grpc: GrpcClient;
  readonly node: NonNullable<DeltaDiscoveryRequest["node"]>;
  readonly types: readonly ResourceType[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Discovery comes back sooner than certificates do: connections wait for its answer. */
const LONGEST_BACKOFF: Millis = 15_000;
/** A stream that is up and says nothing is no stream: another replica of the operator may answer. */
const ANSWER_TIMEOUT: Millis = 15_000;
/** Only a stream that lasted this long ends the back-off: one that is cut after each answer must not be a storm. */
const STEADY_AFTER: Millis = 15_000;
/** google.rpc.Code of a NACK. */
const INVALID_ARGUMENT = 3;

type DeltaCall = Call<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;

export class DeltaStream implements Disposable {
  readonly #options: DeltaStreamOptions;
  readonly #backoff: Backoff;
  #call: DeltaCall | undefined;
  /** Streams opened so far. */
  #streams = 0;
  /** Of the next attempt; while the stream is up, of its first answer and then of it being steady. */
  #timer: Disposable | undefined;
  #closed = false;
  /** Types that the stream knows of already. */
  readonly #opened = new Set<ResourceType>();
  /** Changes of one turn leave in one request. */
  readonly #changed = new Map<ResourceType, { subscribe: Set<string>; unsubscribe: Set<string> }>();
  #nodeSent = false;
  /** Something came on this stream. */
  #answered = false;

  constructor(options: DeltaStreamOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random, LONGEST_BACKOFF);
  }

  /** Number of the stream that is up and has answered; undefined while there is none. */
  get session(): number | undefined {
    return this.#call !== undefined && this.#answered ? this.#streams : undefined;
  }

  /** Starts, and never stops until disposed. */
  start(): void {
    if (this.#closed) return;
    const { grpc } = this.#options;
    let opened: DeltaCall | undefined;
    let ended: GrpcStatus | undefined;
    grpc
      .open(METHODS.deltaAggregatedResources, {
        onMessage: (response) => this.#receive(response),
        onEnd: (status) => {
          ended = status;
          if (opened !== undefined) this.#lost(opened, status);
        },
      })
      .then((call) => {
        opened = call;
        if (this.#closed) return call.cancel();
        if (ended !== undefined) return this.#retry(ended.message);
        this.#call = call;
        this.#streams++;
        this.#answered = false;
        this.#nodeSent = false;
        this.#opened.clear();
        this.#changed.clear();
        for (const type of this.#options.types) this.#openType(type);
        this.#timer = this.#options.clock.after(ANSWER_TIMEOUT, () => {
          this.#options.grpc.leave();
          call.cancel();
        });
      })
      .catch((error: unknown) => this.#retry(error instanceof Error ? error.message : String(error)));
  }

  subscribe(type: ResourceType, name: string): void {
    this.#change(type, name, "subscribe", "unsubscribe");
  }

  unsubscribe(type: ResourceType, name: string): void {
    this.#change(type, name, "unsubscribe", "subscribe");
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#call?.cancel();
  }

  #change(type: ResourceType, name: string, add: "subscribe" | "unsubscribe", drop: "subscribe" | "unsubscribe"): void {
    // Without a stream there is nothing to tell: the next one asks for everything that is wanted then.
    if (this.#call === undefined) return;
    let change = this.#changed.get(type);
    if (change === undefined) {
      change = { subscribe: new Set(), unsubscribe: new Set() };
      this.#changed.set(type, change);
      if (this.#changed.size === 1) queueMicrotask(() => this.#flush());
    }
    change[drop].delete(name);
    change[add].add(name);
  }

  #flush(): void {
    for (const [type, { subscribe, unsubscribe }] of this.#changed) {
      if (!this.#opened.has(type)) this.#openType(type);
      else if (subscribe.size + unsubscribe.size > 0) {
        this.#send(type, { resourceNamesSubscribe: [...subscribe], resourceNamesUnsubscribe: [...unsubscribe] });
      }
    }
    this.#changed.clear();
  }

  #openType(type: ResourceType): void {
    const names = type.names();
    if (names.length === 0) return;
    this.#opened.add(type);
    this.#send(type, {
      resourceNamesSubscribe: [...names],
      initialResourceVersions: type.versions(),
    });
  }

  #send(type: ResourceType, parts: Partial<DeltaDiscoveryRequest>): void {
    const node = this.#nodeSent ? undefined : this.#options.node;
    this.#nodeSent = true;
    this.#call?.send({
      node,
      typeUrl: type.typeUrl,
      resourceNamesSubscribe: [],
      resourceNamesUnsubscribe: [],
      initialResourceVersions: new Map(),
      responseNonce: "",
      errorDetail: undefined,
      ...parts,
    });
  }

  #receive(response: DeltaDiscoveryResponse): void {
    if (!this.#answered) {
      this.#answered = true;
      this.#timer?.[Symbol.dispose]();
      this.#timer = this.#options.clock.after(STEADY_AFTER, () => this.#backoff.reset());
      this.#options.logger.log("info", "discovery connected");
    }
    const type = this.#options.types.find((one) => one.typeUrl === response.typeUrl);
    // A type that was never asked for has nobody to refuse it.
    if (type === undefined) return;
    const problems = type.apply(response.resources, response.removedResources);
    const message = problems.join("; ").slice(0, 1024);
    if (message !== "") this.#options.logger.log("warn", "discovery sent what cannot be used", { problem: message });
    this.#send(type, {
      responseNonce: response.nonce,
      errorDetail: message === "" ? undefined : { code: INVALID_ARGUMENT, message },
    });
  }

  #lost(call: DeltaCall, status: GrpcStatus): void {
    if (this.#call !== call) return;
    this.#call = undefined;
    this.#retry(status.message);
  }

  #retry(why: string): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    const wait = this.#backoff.next();
    this.#options.logger.log("warn", "discovery is away", { error: why, retryInMillis: Math.round(wait) });
    this.#timer = this.#options.clock.after(wait, () => this.start());
  }
}

/**
 * One discovery stream: every type that its client asked for. What a client asks for is answered at once; what changes is
 * sent when it has acknowledged what it was sent before, so a client that reads slowly costs a set of names and no more.
 */
import type { Logger, ProxySettings, TrustBundleState } from "../../mesh/index.ts";
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  type Resource,
  settingsToWire,
  TYPE_URLS,
  trustBundleToWire,
} from "../../wire/index.ts";
import type { Caller } from "../callers.ts";
import { Refusal } from "../errors.ts";
import type { Catalog } from "./catalog.ts";
import { AddressSubscription, type Delta } from "./subscription.ts";
import { Unacknowledged } from "./unacknowledged.ts";
import { versionOf } from "./version.ts";

/** What the stream answers from, always as it is now. */
export interface DiscoveryState {
  readonly catalog: Catalog;
  settings(caller: Caller): ProxySettings;
  bundle(): TrustBundleState;
}

/** Name of a resource of which there is one. */
const ONLY = "default";
/** Bytes of resources in one response: well under the 4 MiB that gRPC takes. */
const RESPONSE_BYTES = 1024 * 1024;
/** A client that leaves more than this unacknowledged gets no further answer. */
export const MOST_UNACKNOWLEDGED = 16 * 1024 * 1024;
/** What a response costs beside its names and resources. */
const OVERHEAD = 512;
/** Lines in the log about what one client did not like. */
export const MOST_NACK_LINES = 16;

type SingleType = typeof TYPE_URLS.settings | typeof TYPE_URLS.trustBundle;

export class DiscoveryStream {
  readonly #caller: Caller;
  readonly #state: DiscoveryState;
  readonly #send: (response: DeltaDiscoveryResponse) => void;
  readonly #logger: Logger;
  readonly #unacknowledged = new Unacknowledged();
  /** What the client was sent last of each type that it opened. */
  readonly #singles = new Map<SingleType, Uint8Array>();
  #addresses: AddressSubscription | undefined;
  /** Names that changed since the client was last told, as far as they concern it. */
  readonly #pending = new Set<string>();
  #nacks = 0;

  constructor(caller: Caller, state: DiscoveryState, logger: Logger, send: (response: DeltaDiscoveryResponse) => void) {
    this.#caller = caller;
    this.#state = state;
    this.#logger = logger;
    this.#send = send;
  }

  /** Throws Refusal for a request that no honest client makes. */
  receive(request: DeltaDiscoveryRequest): void {
    const { typeUrl, responseNonce } = request;
    if (request.errorDetail !== undefined) this.#refused(request, request.errorDetail.message);
    if (responseNonce !== "") this.#unacknowledged.acknowledge(typeUrl, responseNonce);
    switch (typeUrl) {
      case TYPE_URLS.address:
        return this.#receiveAddresses(request);
      case TYPE_URLS.settings:
      case TYPE_URLS.trustBundle:
        if (!this.#singles.has(typeUrl) || request.resourceNamesSubscribe.length > 0) {
          this.#answerSingle(typeUrl, request);
        } else this.#pushSingle(typeUrl, this.#singles.get(typeUrl));
        return;
      default:
        // A type that we have nothing of: a client may wait for its first answer.
        if (responseNonce !== "") return;
        this.#checkUnacknowledged();
        this.#respond(typeUrl, [], request.resourceNamesSubscribe);
    }
  }

  /** These resources of the catalog appeared, changed or went. */
  catalogChanged(names: ReadonlySet<string>): void {
    if (this.#addresses === undefined) return;
    for (const name of names) {
      // Names that came and went again would add up for a client that acknowledges nothing.
      if (this.#addresses.concerns(name)) this.#pending.add(name);
      else this.#pending.delete(name);
    }
    this.#push();
  }

  /** Settings or bundle may be others now; only what is, is sent. */
  stateChanged(): void {
    for (const [typeUrl, last] of this.#singles) this.#pushSingle(typeUrl, last);
  }

  #receiveAddresses(request: DeltaDiscoveryRequest): void {
    const first = this.#addresses === undefined;
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request;
    if (first || subscribe.length > 0 || unsubscribe.length > 0) {
      this.#checkUnacknowledged();
      this.#addresses ??= new AddressSubscription(this.#state.catalog);
      const delta = this.#addresses.change({ subscribe, unsubscribe, held: request.initialResourceVersions });
      // Nothing new after a reconnect is an answer too: the client then knows that it is up to date.
      if (first || delta.entries.length + delta.removed.length > 0) this.#respondDelta(delta);
    }
    this.#push();
  }

  #push(): void {
    if (this.#addresses === undefined || this.#pending.size === 0) return;
    if (this.#unacknowledged.has(TYPE_URLS.address)) return;
    const delta = this.#addresses.changed(this.#pending);
    this.#pending.clear();
    if (delta.entries.length + delta.removed.length > 0) this.#respondDelta(delta);
  }

  /** In as many responses as it takes; what is gone goes first, since a new resource may have its address. */
  #respondDelta({ entries, removed }: Delta): void {
    let gone: string[] = [];
    let resources: Resource[] = [];
    let size = 0;
    const makeRoom = (bytes: number) => {
      if (size + bytes > RESPONSE_BYTES && resources.length + gone.length > 0) {
        this.#respond(TYPE_URLS.address, resources, gone);
        [resources, gone, size] = [[], [], 0];
      }
      size += bytes;
    };
    for (const name of removed) {
      makeRoom(name.length);
      gone.push(name);
    }
    for (const entry of entries) {
      makeRoom(entry.bytes.length);
      resources.push(wrap(entry.name, entry.version, TYPE_URLS.address, entry.bytes, entry.aliases));
    }
    this.#respond(TYPE_URLS.address, resources, gone);
  }

  #answerSingle(typeUrl: SingleType, request: DeltaDiscoveryRequest): void {
    this.#checkUnacknowledged();
    const opening = !this.#singles.has(typeUrl);
    const bytes = this.#single(typeUrl);
    this.#singles.set(typeUrl, bytes);
    const version = versionOf(bytes);
    const known = opening && request.initialResourceVersions.get(ONLY) === version;
    this.#respond(typeUrl, known ? [] : [wrap(ONLY, version, typeUrl, bytes)], []);
  }

  #pushSingle(typeUrl: SingleType, last: Uint8Array | undefined): void {
    if (last === undefined || this.#unacknowledged.has(typeUrl)) return;
    const bytes = this.#single(typeUrl);
    if (Buffer.compare(bytes, last) === 0) return;
    this.#singles.set(typeUrl, bytes);
    this.#respond(typeUrl, [wrap(ONLY, versionOf(bytes), typeUrl, bytes)], []);
  }

  #single(typeUrl: SingleType): Uint8Array {
    return typeUrl === TYPE_URLS.settings
      ? settingsToWire(this.#state.settings(this.#caller))
      : trustBundleToWire(this.#state.bundle());
  }

  #respond(typeUrl: string, resources: Resource[], removedResources: readonly string[]): void {
    let bytes = OVERHEAD + typeUrl.length;
    for (const { resource } of resources) bytes += OVERHEAD + (resource?.value.length ?? 0);
    for (const name of removedResources) bytes += name.length;
    const nonce = this.#unacknowledged.add(typeUrl, bytes);
    this.#send({ systemVersionInfo: "", typeUrl, nonce, resources, removedResources: [...removedResources] });
  }

  #checkUnacknowledged(): void {
    if (this.#unacknowledged.bytes <= MOST_UNACKNOWLEDGED) return;
    const message = "acknowledge what was sent before asking for more";
    throw new Refusal("RESOURCE_EXHAUSTED", "unacknowledged", message);
  }

  #refused({ typeUrl }: DeltaDiscoveryRequest, problem: string): void {
    if (++this.#nacks > MOST_NACK_LINES) return;
    this.#logger.log("warn", "a proxy refused what discovery sent", {
      id: this.#caller.id,
      pod: this.#caller.pod.name,
      typeUrl: OUR_TYPES.has(typeUrl) ? typeUrl : "unknown",
      problem: problem.slice(0, 1024),
    });
  }
}

const OUR_TYPES: ReadonlySet<string> = new Set(Object.values(TYPE_URLS));

function wrap(
  name: string,
  version: string,
  typeUrl: string,
  value: Uint8Array,
  aliases: readonly string[] = [],
): Resource {
  return { name, version, aliases: [...aliases], resource: { typeUrl, value } };
}

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
import type { Catalog } from "./catalog.ts";
import { AddressSubscription, type Delta } from "./subscription.ts";
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

type SingleType = typeof TYPE_URLS.settings | typeof TYPE_URLS.trustBundle;

interface Single {
  /** What the client was sent last. */
  bytes: Uint8Array;
}

export class DiscoveryStream {
  readonly #caller: Caller;
  readonly #state: DiscoveryState;
  readonly #send: (response: DeltaDiscoveryResponse) => void;
  readonly #logger: Logger;
  readonly #singles = new Map<SingleType, Single>();
  #addresses: AddressSubscription | undefined;
  /** Names that changed since the client was last told. */
  readonly #pending = new Set<string>();
  /** The nonce of the last response of addresses that was not acknowledged yet. */
  #awaited: string | undefined;
  #nonce = 0;

  constructor(caller: Caller, state: DiscoveryState, logger: Logger, send: (response: DeltaDiscoveryResponse) => void) {
    this.#caller = caller;
    this.#state = state;
    this.#logger = logger;
    this.#send = send;
  }

  /** Throws RangeError for a request that no honest client makes. */
  receive(request: DeltaDiscoveryRequest): void {
    if (request.errorDetail !== undefined) {
      this.#logger.log("warn", "a proxy refused what discovery sent", {
        id: this.#caller.id,
        pod: this.#caller.pod.name,
        typeUrl: request.typeUrl,
        problem: request.errorDetail.message.slice(0, 1024),
      });
    }
    switch (request.typeUrl) {
      case TYPE_URLS.address:
        return this.#receiveAddresses(request);
      case TYPE_URLS.settings:
      case TYPE_URLS.trustBundle:
        if (!this.#singles.has(request.typeUrl)) this.#openSingle(request.typeUrl, request);
        return;
      default:
        // A type that we have nothing of: a client may wait for its first answer.
        if (request.responseNonce === "") this.#respond(request.typeUrl, [], request.resourceNamesSubscribe);
    }
  }

  /** These resources of the catalog appeared, changed or went. */
  catalogChanged(names: ReadonlySet<string>): void {
    if (this.#addresses === undefined) return;
    for (const name of names) this.#pending.add(name);
    if (this.#awaited === undefined) this.#push();
  }

  /** Settings or bundle may be others now; only what is, is sent. */
  stateChanged(): void {
    for (const [typeUrl, single] of this.#singles) {
      const bytes = this.#single(typeUrl);
      if (Buffer.compare(bytes, single.bytes) === 0) continue;
      single.bytes = bytes;
      this.#respond(typeUrl, [wrap(ONLY, versionOf(bytes), typeUrl, bytes)], []);
    }
  }

  #receiveAddresses(request: DeltaDiscoveryRequest): void {
    if (request.responseNonce !== "" && request.responseNonce === this.#awaited) this.#awaited = undefined;
    const first = this.#addresses === undefined;
    this.#addresses ??= new AddressSubscription(this.#state.catalog);
    const { resourceNamesSubscribe: subscribe, resourceNamesUnsubscribe: unsubscribe } = request;
    if (first || subscribe.length > 0 || unsubscribe.length > 0) {
      const delta = this.#addresses.change({ subscribe, unsubscribe, held: request.initialResourceVersions });
      // Nothing new after a reconnect is an answer too: the client then knows that it is up to date.
      if (first || delta.entries.length + delta.removed.length > 0) this.#respondDelta(delta);
    }
    if (this.#awaited === undefined && this.#pending.size > 0) this.#push();
  }

  #push(): void {
    const delta = this.#addresses?.changed(this.#pending);
    this.#pending.clear();
    if (delta !== undefined && delta.entries.length + delta.removed.length > 0) this.#respondDelta(delta);
  }

  #respondDelta({ entries, removed }: Delta): void {
    let gone = removed;
    let resources: Resource[] = [];
    let size = 0;
    for (const entry of entries) {
      if (size + entry.bytes.length > RESPONSE_BYTES && resources.length > 0) {
        this.#awaited = this.#respond(TYPE_URLS.address, resources, gone);
        [resources, gone, size] = [[], [], 0];
      }
      resources.push(wrap(entry.name, entry.version, TYPE_URLS.address, entry.bytes, entry.aliases));
      size += entry.bytes.length;
    }
    this.#awaited = this.#respond(TYPE_URLS.address, resources, gone);
  }

  #openSingle(typeUrl: SingleType, request: DeltaDiscoveryRequest): void {
    const bytes = this.#single(typeUrl);
    this.#singles.set(typeUrl, { bytes });
    const version = versionOf(bytes);
    const known = request.initialResourceVersions.get(ONLY) === version;
    this.#respond(typeUrl, known ? [] : [wrap(ONLY, version, typeUrl, bytes)], []);
  }

  #single(typeUrl: SingleType): Uint8Array {
    return typeUrl === TYPE_URLS.settings
      ? settingsToWire(this.#state.settings(this.#caller))
      : trustBundleToWire(this.#state.bundle());
  }

  #respond(typeUrl: string, resources: Resource[], removedResources: readonly string[]): string {
    const nonce = `${++this.#nonce}`;
    this.#send({ systemVersionInfo: "", typeUrl, nonce, resources, removedResources: [...removedResources] });
    return nonce;
  }
}

function wrap(
  name: string,
  version: string,
  typeUrl: string,
  value: Uint8Array,
  aliases: readonly string[] = [],
): Resource {
  return { name, version, aliases: [...aliases], resource: { typeUrl, value } };
}

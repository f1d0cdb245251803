/**
 * What one client wants of the address type and what it holds: the server's half of delta xDS, pure. It answers which
 * resources to send and which names are gone; the stream does the sending.
 */
import type { Catalog, CatalogEntry } from "./catalog.ts";

/** What goes into responses: `removed` names that do not exist, or no longer. */
export interface Delta {
  readonly entries: readonly CatalogEntry[];
  readonly removed: readonly string[];
}

/** The parts of a DeltaDiscoveryRequest that change a subscription. */
export interface SubscriptionChange {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  /** Resource name → version of what the client still holds; only in the first request of a stream. */
  readonly held: ReadonlyMap<string, string>;
}

const EVERYTHING = "*";
/** Names that one client may subscribe to; a proxy of ours follows at most 4,096 addresses. */
const MOST_NAMES = 100_000;

export class AddressSubscription {
  readonly #catalog: Catalog;
  #everything = false;
  readonly #names = new Set<string>();
  /** Names of what the client said it held: as good as subscribed, until it lets go of the address. */
  readonly #implied = new Set<string>();
  /** Resource name → version that the client has from us. */
  readonly #held = new Map<string, string>();
  #first = true;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** Resources that the client is up to date with or was sent. */
  get size(): number {
    return this.#held.size;
  }

  /** Throws RangeError when the client asks for more names than any client needs. */
  change({ subscribe, unsubscribe, held }: SubscriptionChange): Delta {
    const first = this.#first;
    this.#first = false;
    // xDS: a first request that names nothing asks for everything.
    if (first && subscribe.length === 0) this.#everything = true;
    const named = new Map<string, string>();
    if (first) {
      for (const [name, version] of held) {
        named.set(name, version);
        if (!this.#everything) this.#implied.add(name);
      }
    }
    for (const name of unsubscribe) this.#drop(name);
    for (const name of subscribe) {
      if (name === EVERYTHING) this.#everything = true;
      else this.#names.add(name);
    }
    if (this.#names.size + this.#implied.size > MOST_NAMES) throw new RangeError(`more than ${MOST_NAMES} names`);
    return this.#collect(first, subscribe, named);
  }

  /** What the client has to hear of changes in the catalog. */
  changed(names: Iterable<string>): Delta {
    const entries: CatalogEntry[] = [];
    const removed: string[] = [];
    for (const name of names) {
      const entry = this.#catalog.get(name);
      if (entry === undefined || !this.#wants(entry)) {
        if (this.#held.delete(name)) removed.push(name);
      } else if (this.#held.get(name) !== entry.version) {
        this.#held.set(name, entry.version);
        entries.push(entry);
      }
    }
    return { entries, removed };
  }

  #collect(first: boolean, subscribe: readonly string[], named: ReadonlyMap<string, string>): Delta {
    const found = new Map<string, CatalogEntry>();
    const removed: string[] = [];
    if (this.#everything && (first || subscribe.includes(EVERYTHING))) {
      for (const entry of this.#catalog.all()) found.set(entry.name, entry);
    }
    for (const name of subscribe) {
      if (name === EVERYTHING) continue;
      const entries = this.#catalog.lookUp(name);
      if (entries.length === 0) removed.push(name);
      for (const entry of entries) found.set(entry.name, entry);
    }
    for (const name of named.keys()) {
      const entry = this.#catalog.get(name);
      if (entry !== undefined) found.set(name, entry);
      // It went while the client was away.
      else removed.push(name);
    }
    const entries: CatalogEntry[] = [];
    for (const entry of found.values()) {
      this.#held.set(entry.name, entry.version);
      // Who subscribes on a running stream is answered even with what it has (xDS, "Subscribing to Resources").
      if (!first || named.get(entry.name) !== entry.version) entries.push(entry);
    }
    return { entries, removed };
  }

  #drop(name: string): void {
    if (name === EVERYTHING) {
      this.#everything = false;
    } else {
      this.#names.delete(name);
      this.#implied.delete(name);
    }
    const entries = this.#catalog.lookUp(name);
    for (const entry of entries) this.#implied.delete(entry.name);
    if (name === EVERYTHING) {
      for (const held of [...this.#held.keys()]) this.#letGo(held);
    } else for (const entry of entries) this.#letGo(entry.name);
  }

  #letGo(name: string): void {
    const entry = this.#catalog.get(name);
    if (entry === undefined || !this.#wants(entry)) this.#held.delete(name);
  }

  #wants(entry: CatalogEntry): boolean {
    return this.#everything || this.#asked(entry) || (entry.services ?? []).some((name) => this.#wantsService(name));
  }

  #wantsService(name: string): boolean {
    const service = this.#catalog.get(name);
    return service !== undefined && this.#asked(service);
  }

  #asked(entry: CatalogEntry): boolean {
    return (
      this.#names.has(entry.name) ||
      this.#implied.has(entry.name) ||
      entry.aliases.some((alias) => this.#names.has(alias))
    );
  }
}

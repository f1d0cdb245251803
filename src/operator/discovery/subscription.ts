/**
 * What one client wants of the address type and what it holds: the server's half of delta xDS, pure. It answers which
 * resources to send and which names are gone; the stream does the sending.
 */
import { Refusal } from "../errors.ts";
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
export const MOST_NAMES = 32_768;
/** `namespace/hostname`, the longest name there is, has 317 characters. */
export const LONGEST_NAME = 512;

const NOTHING_HELD: ReadonlyMap<string, string> = new Map();

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

  /** Throws Refusal when the client asks for more than any client needs. */
  change({ subscribe, unsubscribe, held }: SubscriptionChange): Delta {
    const first = this.#first;
    this.#first = false;
    const known = first ? held : NOTHING_HELD;
    // Sets, since a name may be repeated a million times in one request.
    const asked = new Set(subscribe);
    const dropped = new Set(unsubscribe);
    for (const name of asked) checkName(name);
    // xDS: a first request that names nothing asks for everything.
    if (first && asked.size === 0) this.#everything = true;
    for (const name of asked) {
      if (name === EVERYTHING) this.#everything = true;
      else this.#names.add(name);
    }
    // Afterwards: who names "*" in both lists asks for nothing yet, as ztunnel does on demand (src/xds/client.rs).
    const released: string[] = [];
    for (const name of dropped) {
      this.#drop(name, released);
      asked.delete(name);
    }
    if (!this.#everything) {
      for (const name of known.keys()) {
        checkName(name);
        if (!dropped.has(name)) this.#implied.add(name);
      }
    }
    if (this.#names.size + this.#implied.size > MOST_NAMES) throw tooLarge(`more than ${MOST_NAMES} names`);
    const { entries, removed } = this.#collect(first, asked, dropped, known);
    return { entries, removed: [...released, ...removed] };
  }

  /** Whether the client may have to hear of a change of this name. */
  concerns(name: string): boolean {
    if (this.#held.has(name)) return true;
    const entry = this.#catalog.get(name);
    return entry !== undefined && this.#wants(entry);
  }

  /** What the client has to hear of changes in the catalog. */
  changed(names: Iterable<string>): Delta {
    const entries: CatalogEntry[] = [];
    const removed: string[] = [];
    const all = new Set(names);
    for (const name of all) {
      const entry = this.#catalog.get(name);
      const wanted = entry !== undefined && this.#wants(entry);
      // Workloads come and go with a service that took or lost an address, although nothing changed in themselves.
      if (wanted !== this.#held.has(name)) for (const workload of this.#catalog.behind(name)) all.add(workload);
      if (!wanted) {
        if (this.#held.delete(name)) removed.push(name);
      } else if (this.#held.get(name) !== entry.version) {
        this.#held.set(name, entry.version);
        entries.push(entry);
      }
    }
    return { entries, removed };
  }

  #collect(
    first: boolean,
    asked: ReadonlySet<string>,
    dropped: ReadonlySet<string>,
    known: ReadonlyMap<string, string>,
  ): Delta {
    const found = new Map<string, CatalogEntry>();
    const removed = new Set<string>();
    const look = (name: string) => {
      const entries = this.#catalog.lookUp(name);
      if (entries.length === 0) removed.add(name);
      for (const entry of entries) found.set(entry.name, entry);
    };
    if (this.#everything && (first || asked.has(EVERYTHING))) {
      for (const entry of this.#catalog.all()) found.set(entry.name, entry);
    }
    for (const name of asked) if (name !== EVERYTHING) look(name);
    // What is not there went while the client was away.
    for (const name of known.keys()) if (!dropped.has(name)) look(name);
    // Who lets go of one name of everything is told what becomes of it: it cannot know (go-control-plane #558).
    if (this.#everything) for (const name of dropped) look(name);
    const entries: CatalogEntry[] = [];
    for (const entry of found.values()) {
      this.#held.set(entry.name, entry.version);
      // Who subscribes on a running stream is answered even with what it has (xDS, "Subscribing to Resources").
      if (!first || known.get(entry.name) !== entry.version) entries.push(entry);
    }
    return { entries, removed: [...removed] };
  }

  /**
   * What the client holds for this name alone is told as removed: with changes under way, what it lets go by its own view
   * is not what nobody wants by ours, and it would keep the difference for ever.
   */
  #drop(name: string, released: string[]): void {
    if (name === EVERYTHING) {
      if (!this.#everything) return;
      this.#everything = false;
      for (const held of [...this.#held.keys()]) this.#letGo(held, released);
      return;
    }
    this.#names.delete(name);
    this.#implied.delete(name);
    const entries = this.#catalog.lookUp(name);
    for (const entry of entries) this.#implied.delete(entry.name);
    for (const entry of entries) this.#letGo(entry.name, released);
  }

  #letGo(name: string, released: string[]): void {
    const entry = this.#catalog.get(name);
    if (entry !== undefined && this.#wants(entry)) return;
    if (this.#held.delete(name)) released.push(name);
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

function checkName(name: string): void {
  if (name.length > LONGEST_NAME) throw tooLarge(`a name of more than ${LONGEST_NAME} characters`);
}

function tooLarge(what: string): Refusal {
  return new Refusal("INVALID_ARGUMENT", "subscription-too-large", `the subscription holds ${what}`);
}

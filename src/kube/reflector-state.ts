/**
 * What a reflector has put into its sink: enough to see, after a gap, what changed and what is gone. The objects
 * themselves are not kept here.
 */
import { objectKey } from "../mesh/index.ts";
import type { KubeObject } from "./object.ts";
import type { Sink } from "./sink.ts";

/** Counters of a reflector for a metrics page; they only grow, but for `objects`. */
export interface ReflectorCounts {
  /** Complete lists. */
  lists: number;
  pages: number;
  /** Watches that the server accepted. */
  watches: number;
  added: number;
  modified: number;
  deleted: number;
  bookmarks: number;
  /** Changes and deletions that no event told, found by a list after a gap. */
  repaired: number;
  /** The server no longer knew the resource version (410). */
  expired: number;
  /** Connections given up because nothing arrived. */
  silent: number;
  failures: number;
  /** Objects that `keep` or the sink threw on. */
  broken: number;
  /** Objects in the sink now. */
  objects: number;
}

interface Known {
  readonly uid: string | undefined;
  readonly version: string | undefined;
}

export class ReflectorState<T extends KubeObject, V> {
  readonly counts: ReflectorCounts = {
    lists: 0,
    pages: 0,
    watches: 0,
    added: 0,
    modified: 0,
    deleted: 0,
    bookmarks: 0,
    repaired: 0,
    expired: 0,
    silent: 0,
    failures: 0,
    broken: 0,
    objects: 0,
  };
  readonly #keep: (object: T) => V | undefined;
  readonly #sink: Sink<V>;
  readonly #onBroken: (key: string, error: unknown) => void;
  readonly #known = new Map<string, Known>();

  constructor(keep: (object: T) => V | undefined, sink: Sink<V>, onBroken: (key: string, error: unknown) => void) {
    this.#keep = keep;
    this.#sink = sink;
    this.#onBroken = onBroken;
  }

  /** Takes the newest state of an object; true when the sink was changed by it. */
  put(object: T): boolean {
    const { namespace, name, uid, resourceVersion: version } = object.metadata;
    const key = keyOf(namespace, name);
    const known = this.#known.get(key);
    if (known !== undefined && known.uid === uid && version !== undefined && known.version === version) return false;
    // Made anew under an old name while we did not look: followers must see the old one go.
    let changed = known !== undefined && known.uid !== uid && this.#drop(key);
    this.#guard(key, () => {
      const value = this.#keep(object);
      if (value === undefined) {
        changed = this.#drop(key) || changed;
        return;
      }
      changed = true;
      // Noted first: a sink whose follower throws holds the object all the same, and must see it go one day.
      this.#known.set(key, { uid, version });
      this.#sink.set(key, value);
    });
    this.counts.objects = this.#known.size;
    return changed;
  }

  remove(object: T): void {
    this.#drop(keyOf(object.metadata.namespace, object.metadata.name));
    this.counts.objects = this.#known.size;
  }

  /** A list being taken in page by page; what no page named is deleted at its end. */
  beginList(): { readonly page: (items: readonly T[]) => void; readonly end: () => void } {
    const first = this.counts.lists === 0;
    const gone = new Set(this.#known.keys());
    return {
      page: (items) => {
        this.counts.pages += 1;
        for (const object of items) {
          gone.delete(keyOf(object.metadata.namespace, object.metadata.name));
          if (this.put(object) && !first) this.counts.repaired += 1;
        }
      },
      end: () => {
        for (const key of gone) this.#drop(key);
        this.counts.repaired += gone.size;
        this.counts.lists += 1;
        this.counts.objects = this.#known.size;
      },
    };
  }

  #drop(key: string): boolean {
    const was = this.#known.delete(key);
    if (was) this.#guard(key, () => this.#sink.delete(key));
    return was;
  }

  /** One object that cannot be taken must not stop all others. */
  #guard(key: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.counts.broken += 1;
      this.#onBroken(key, error);
    }
  }
}

function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : objectKey(namespace, name);
}

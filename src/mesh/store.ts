/** A live keyed collection: `cluster/` or `local/` fills it, `operator/` reads and follows it. */

export type StoreChange<T> =
  | { readonly kind: "set"; readonly key: string; readonly value: T; readonly before: T | undefined }
  | { readonly kind: "delete"; readonly key: string; readonly before: T };

export interface Store<T> {
  get(key: string): T | undefined;
  keys(): IterableIterator<string>;
  values(): IterableIterator<T>;
  /** Calls the listener after each change, in order; disposing ends it. What is there already is not replayed. */
  follow(listener: (change: StoreChange<T>) => void): Disposable;
}

/** The store that its owner writes to. */
export class MemoryStore<T> implements Store<T> {
  readonly #items = new Map<string, T>();
  readonly #listeners = new Set<(change: StoreChange<T>) => void>();

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#items.keys();
  }

  values(): IterableIterator<T> {
    return this.#items.values();
  }

  set(key: string, value: T): void {
    const before = this.#items.get(key);
    this.#items.set(key, value);
    this.#tell({ kind: "set", key, value, before });
  }

  delete(key: string): void {
    const before = this.#items.get(key);
    if (before === undefined) return;
    this.#items.delete(key);
    this.#tell({ kind: "delete", key, before });
  }

  follow(listener: (change: StoreChange<T>) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #tell(change: StoreChange<T>): void {
    for (const listener of this.#listeners) listener(change);
  }
}

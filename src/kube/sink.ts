/** Where a reflector puts what it reads; `MemoryStore` of `mesh/` is one. */
export interface Sink<V> {
  set(key: string, value: V): void;
  delete(key: string): void;
}

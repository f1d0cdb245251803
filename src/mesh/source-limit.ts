/** So that one source cannot take all the places that a listener has for strangers. */

/** Counts what each source holds; what nobody holds costs nothing. */
export class SourceLimit {
  readonly #most: number;
  readonly #held = new Map<string, number>();

  /** `most`: places of one source. */
  constructor(most: number) {
    this.#most = most;
  }

  /** A place for the source; false when it has all that it may have. Each one taken is to be given back once. */
  take(source: string): boolean {
    const held = this.#held.get(source) ?? 0;
    if (held >= this.#most) return false;
    this.#held.set(source, held + 1);
    return true;
  }

  give(source: string): void {
    const held = (this.#held.get(source) ?? 0) - 1;
    if (held > 0) this.#held.set(source, held);
    else this.#held.delete(source);
  }

  /** Sources that hold something. */
  get size(): number {
    return this.#held.size;
  }
}

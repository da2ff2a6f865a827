/**
 * A map whose copies share what neither has changed, so that a phonebook of 10,000 rows can be copied for every delta
 * without delaying a voice packet.
 */
export class LayeredMap<Key, Value> {
  /** Shared with copies and never written. */
  #below: ReadonlyMap<Key, Value> = new Map();
  /** What is different here; `undefined` stands for a key that is gone. */
  readonly #above = new Map<Key, Value | undefined>();

  get(key: Key): Value | undefined {
    return this.#above.has(key) ? this.#above.get(key) : this.#below.get(key);
  }

  has(key: Key): boolean {
    return this.get(key) !== undefined;
  }

  set(key: Key, value: Value): void {
    this.#above.set(key, value);
  }

  delete(key: Key): void {
    this.#above.set(key, undefined);
  }

  clone(): LayeredMap<Key, Value> {
    if (this.#above.size > this.#below.size / 8) this.#merge();
    const copy = new LayeredMap<Key, Value>();
    copy.#below = this.#below;
    for (const [key, value] of this.#above) copy.#above.set(key, value);
    return copy;
  }

  #merge(): void {
    const merged = new Map(this.#below);
    for (const [key, value] of this.#above) {
      if (value === undefined) merged.delete(key);
      else merged.set(key, value);
    }
    this.#below = merged;
    this.#above.clear();
  }
}

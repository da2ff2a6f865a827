/**
 * Which name is bound to which key: one name per key, one key per name, and no second name that looks like it
 * (design 4, phonebook; threats hole 26).
 */
import { lowerKey, skeleton } from "@feldfon/protocol/directory/names";
import type { Uid } from "@feldfon/protocol/identity";

/** A book may lie over another one: a batch writes on its own page, which is merged only when the batch is on disk. */
export class NameBook {
  readonly #base: NameBook | undefined;
  /** undefined as a value: released here, whatever the page below says. */
  readonly #names = new Map<Uid, string | undefined>();
  readonly #holders = new Map<string, Uid | undefined>();

  constructor(base?: NameBook) {
    this.#base = base;
  }

  nameOf(uid: Uid): string | undefined {
    return this.#names.has(uid) ? this.#names.get(uid) : this.#base?.nameOf(uid);
  }

  /** Who has this name in whatever case. */
  holderOf(name: string): Uid | undefined {
    return this.#find(`lower ${lowerKey(name)}`);
  }

  /** Nobody has this name, in whatever case, or one that looks like it. */
  isFree(name: string): boolean {
    return keysOf(name).every((key) => this.#find(key) === undefined);
  }

  bind(uid: Uid, name: string): void {
    this.#names.set(uid, name);
    for (const key of keysOf(name)) this.#holders.set(key, uid);
  }

  release(uid: Uid): void {
    const name = this.nameOf(uid);
    if (name === undefined) return;
    this.#names.set(uid, undefined);
    for (const key of keysOf(name)) if (this.#find(key) === uid) this.#holders.set(key, undefined);
  }

  /** Writes this page into the book below it. */
  merge(): void {
    if (!this.#base) return;
    copy(this.#names, this.#base.#names);
    copy(this.#holders, this.#base.#holders);
  }

  #find(key: string): Uid | undefined {
    if (this.#holders.has(key) || !this.#base) return this.#holders.get(key);
    return this.#base.#find(key);
  }
}

function keysOf(name: string): string[] {
  return [`lower ${lowerKey(name)}`, `looks ${looksOf(name)}`];
}

/** A name bound long ago stays bound, even if a later table of look-alikes would refuse it. */
function looksOf(name: string): string {
  try {
    return skeleton(name);
  } catch {
    return name;
  }
}

function copy<Key, Value>(from: Map<Key, Value | undefined>, to: Map<Key, Value | undefined>): void {
  for (const [key, value] of from) {
    if (value === undefined) to.delete(key);
    else to.set(key, value);
  }
}

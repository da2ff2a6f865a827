/**
 * bk of one handset's place in a call (wire.md 1, VOICE Relay), at the server. It is derived when the first BIND asks
 * for it, since many calls are never answered and some go direct; at the latest when the line goes whose keys it needs.
 */
import type { Slot, Vault } from "../vault.ts";

export interface RelayKey {
  /** @returns undefined once it is wiped, or when its line ended at fault before anybody asked */
  slot(): Slot<"mac"> | undefined;
  /** Twice is harmless. */
  wipe(): void;
}

/** The relay keys of one line. */
export class RelayKeys {
  readonly #vault: Vault;
  readonly #derive: (relayId: Uint8Array) => Slot<"mac">;
  /** Not derived yet. */
  readonly #due = new Set<LineRelayKey>();

  constructor(vault: Vault, derive: (relayId: Uint8Array) => Slot<"mac">) {
    this.#vault = vault;
    this.#derive = derive;
  }

  keyOf(relayId: Uint8Array): RelayKey {
    return new LineRelayKey(this.#vault, () => this.#derive(relayId), this.#due);
  }

  /** The line's keys are about to be wiped, its calls go on: what may still be asked for is derived now. */
  deriveAll(): void {
    for (const key of this.#due) key.slot();
  }

  /** The line's keys are wiped, its calls end. */
  giveUp(): void {
    for (const key of this.#due) key.wipe();
  }
}

class LineRelayKey implements RelayKey {
  readonly #vault: Vault;
  readonly #due: Set<LineRelayKey>;
  #derive: (() => Slot<"mac">) | undefined;
  #slot: Slot<"mac"> | undefined;

  constructor(vault: Vault, derive: () => Slot<"mac">, due: Set<LineRelayKey>) {
    this.#vault = vault;
    this.#derive = derive;
    this.#due = due;
    due.add(this);
  }

  slot(): Slot<"mac"> | undefined {
    if (this.#derive) {
      this.#slot = this.#derive();
      this.#settle();
    }
    return this.#slot;
  }

  wipe(): void {
    this.#settle();
    this.#vault.wipe(this.#slot);
    this.#slot = undefined;
  }

  #settle(): void {
    this.#derive = undefined;
    this.#due.delete(this);
  }
}

/**
 * The product's vault with quick private operations, so that one process has hundreds of handsets connect each second;
 * signatures and what they open are real, the server cannot tell the difference (smooth-key.ts).
 */
import { VaultError } from "@feldfon/protocol/errors";
import type { KeyPair, Slot } from "@feldfon/protocol/vault";
import { NodeVault, type VaultTables, vaultTables } from "@feldfon/vault/node";
import { SmoothKey } from "./smooth-key.ts";

const SECRET_PREFIX = Buffer.from("+++secret+++", "ascii");

export class QuickVault extends NodeVault {
  readonly #tables: VaultTables;
  readonly #keys = new WeakMap<KeyPair, SmoothKey>();

  constructor() {
    const tables = vaultTables();
    super({ tables });
    this.#tables = tables;
  }

  /** @param n the same number, the same pair */
  smoothKeyPair(n: number): KeyPair {
    const key = new SmoothKey(n);
    const keyPair = Object.freeze({ spki: key.spki }) as unknown as KeyPair;
    this.#keys.set(keyPair, key);
    return keyPair;
  }

  override async sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer> {
    return this.#keyOf(keyPair).sign(message);
  }

  override async unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">> {
    const clear = this.#keyOf(keyPair).open(label, wrapped);
    if (!clear?.subarray(0, SECRET_PREFIX.length).equals(SECRET_PREFIX)) {
      throw new VaultError("unwrap", "what came does not open as a secret for this key and label");
    }
    const slot = Object.freeze({ use: "derive" }) as unknown as Slot<"derive">;
    const bytes = Buffer.from(clear.subarray(SECRET_PREFIX.length));
    return this.#tables.slots.put(slot, { use: "derive", bytes, counter: 0 });
  }

  #keyOf(keyPair: KeyPair): SmoothKey {
    const key = this.#keys.get(keyPair);
    if (!key) throw new VaultError("no-such-slot", "a key pair came that this vault did not make");
    return key;
  }
}

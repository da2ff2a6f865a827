/**
 * The product's vault with three savings, so that one process has hundreds of handsets connect each second; the server
 * does for them what it does for any other:
 *
 *     private operations   quick ones (smooth-key.ts); signatures are real, and so is what they open
 *     ephemeral keys       the same for every line
 *     long frames          only their beginning is decrypted, no tag is checked: what a TrustingFollower reads
 */
import { createDecipheriv, createSecretKey } from "node:crypto";
import { PAD_BYTES } from "@feldfon/protocol/channel/sealed";
import { VaultError } from "@feldfon/protocol/errors";
import type { Ephemeral, KeyPair, Slot } from "@feldfon/protocol/vault";
import { type Algorithm, generate } from "@feldfon/vault/agreement";
import { NodeVault, type VaultTables, vaultTables } from "@feldfon/vault/node";
import { SmoothKey } from "./smooth-key.ts";

const SECRET_PREFIX = Buffer.from("+++secret+++", "ascii");

const KEY_BYTES = 32;
const TAG_BYTES = 16;
/** A shorter frame is opened as the product opens it. */
const LONG_BYTES = 8_192;
/** SIP head, and the signed head that a handset acknowledges. */
const BEGINNING_BYTES = 2_048;

export class QuickVault extends NodeVault {
  readonly #tables: VaultTables;
  readonly #keys = new WeakMap<KeyPair, SmoothKey>();
  readonly #agreement = { x25519: generate("x25519"), "ml-kem-768": generate("ml-kem-768") };

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

  override makeEphemeral<Asked extends Algorithm>(algorithm: Asked): Ephemeral<Asked> {
    const { privateKey, publicKey } = this.#agreement[algorithm];
    const ephemeral = Object.freeze({ algorithm, publicKey }) as unknown as Ephemeral<Asked>;
    return this.#tables.ephemerals.put(ephemeral, { algorithm, privateKey });
  }

  /** Of a long frame its beginning, and zeros where padding may be; between them anything. */
  override openInPlace(
    slot: Slot<"stream-open" | "packet-open">,
    counter: number,
    aad: Uint8Array,
    place: Uint8Array,
  ): void {
    if (place.length < LONG_BYTES) return super.openInPlace(slot, counter, aad, place);
    const content = this.#tables.slots.get(slot);
    content.counter = counter + 1;
    const nonce = Buffer.from(content.bytes.subarray(KEY_BYTES));
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ counter) >>> 0, 8);
    const key = createSecretKey(content.bytes.subarray(0, KEY_BYTES));
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    place.set(decipher.update(place.subarray(0, BEGINNING_BYTES)));
    place.subarray(-(TAG_BYTES + PAD_BYTES), -TAG_BYTES).fill(0);
  }

  #keyOf(keyPair: KeyPair): SmoothKey {
    const key = this.#keys.get(keyPair);
    if (!key) throw new VaultError("no-such-slot", "a key pair came that this vault did not make");
    return key;
  }
}

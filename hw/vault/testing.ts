/**
 * A vault that lets a test look and reach inside: recorded vectors bring their own secrets, and what was born can be
 * read. For tests and vectors only; product code never imports it (test/architecture.test.ts).
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import type { Ephemeral, KeyPair, MediaProfile, Slot, SlotUse } from "@feldfon/protocol/vault";
import { type Algorithm, publicBytesOf } from "./agreement.ts";
import { eraseSlot, HandleTable, ownCopy, type SlotContent } from "./handles.ts";
import { NodeVault, type VaultTables, vaultTables } from "./node.ts";
import { checkedKey, oaepKey, oaepOpen } from "./rsa.ts";
import { MediaReceiver, MediaSender } from "./srtp.ts";

/** A slot as it was at its birth; `secret` stays readable after the slot is wiped. */
export interface Birth {
  readonly use: SlotUse;
  readonly slot: Slot;
  readonly secret: Buffer;
}

/** PKCS#8 in DER up to the raw key: X25519 (RFC 8410), the ML-KEM-768 seed (RFC 9935). */
const PRIVATE_FORM = {
  x25519: { head: "302e020100300506032b656e04220420", bytes: 32 },
  "ml-kem-768": { head: "3054020100300b060960864801650304040204428040", bytes: 64 },
};

export class TestingVault extends NodeVault {
  /** Every slot since the beginning, so that a test can search the wire for what must not be there. */
  readonly births: readonly Birth[];
  /** Index of the first voice packet of senders and receivers made from now on; their slot holds its epoch's master. */
  mediaStart = 0;
  readonly #tables: VaultTables;

  constructor(options: { slotsMax?: number } = {}) {
    const slots = new RecordedSlots(eraseSlot);
    const tables = { ...vaultTables(), slots };
    super({ ...options, tables });
    this.births = slots.births;
    this.#tables = tables;
  }

  /** A slot of any use and length from bytes that are known. */
  import<Use extends SlotUse>(use: Use, bytes: Uint8Array): Slot<Use> {
    const slot = Object.freeze({ use }) as unknown as Slot<Use>;
    return this.#tables.slots.put(slot, { use, bytes: ownCopy(bytes), counter: 0 });
  }

  /** @param privateBytes X25519: 32 bytes; ML-KEM-768: the seed d | z, 64 bytes (FIPS 203 §7.1) */
  importEphemeral<Asked extends Algorithm>(algorithm: Asked, privateBytes: Uint8Array): Ephemeral<Asked> {
    const { head, bytes } = PRIVATE_FORM[algorithm];
    if (privateBytes.length !== bytes) throw new Error(`a ${algorithm} private key has ${bytes} bytes`);
    const pkcs8 = Buffer.concat([Buffer.from(head, "hex"), privateBytes]);
    const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const ephemeral = Object.freeze({ algorithm, publicKey: publicBytesOf(privateKey) }) as unknown as Ephemeral<Asked>;
    return this.#tables.ephemerals.put(ephemeral, { algorithm, privateKey });
  }

  /** @param pkcs8 PKCS#8 in DER. @throws {VaultError} `bad-key` */
  async importKeyPair(pkcs8: Uint8Array): Promise<KeyPair> {
    const read = (): KeyObject => createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const { privateKey, spki } = await checkedKey(read);
    const keyPair = Object.freeze({ spki }) as unknown as KeyPair;
    return this.#tables.keyPairs.put(keyPair, { privateKey, unwrapKey: oaepKey(privateKey) });
  }

  /** `unwrap` before it looks at the prefix: published vectors have none. @returns undefined when OAEP refuses */
  async openOaep(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"mac"> | undefined> {
    const clear = await oaepOpen(this.#tables.keyPairs.get(keyPair).unwrapKey, label, wrapped);
    return clear && this.import("mac", clear);
  }

  /** A copy of what the slot holds now. @throws {VaultError} `empty-slot`, `no-such-slot` */
  reveal(slot: Slot): Buffer {
    return Buffer.from(this.#tables.slots.get(slot).bytes);
  }

  protected override newSender(master: Buffer, profile: MediaProfile): MediaSender {
    return new MediaSender(master, profile, this.mediaStart);
  }

  protected override newReceiver(master: Buffer, profile: MediaProfile): MediaReceiver {
    return new MediaReceiver(master, profile, this.mediaStart);
  }
}

export function testingVault(options: { slotsMax?: number } = {}): TestingVault {
  return new TestingVault(options);
}

class RecordedSlots extends HandleTable<SlotContent> {
  readonly births: Birth[] = [];

  override put<Handle extends object>(handle: Handle, content: SlotContent): Handle {
    const slot = handle as unknown as Slot;
    this.births.push({ use: content.use, slot, secret: Buffer.from(content.bytes) });
    return super.put(handle, content);
  }
}

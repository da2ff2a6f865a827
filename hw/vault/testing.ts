/**
 * A vault that lets a test look and reach inside: recorded vectors bring their own secrets, and what was born can be
 * read. For tests and vectors only; product code never imports it (test/architecture.test.ts).
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { VaultError } from "@feldfon/protocol/errors";
import type {
  Ephemeral,
  KeyPair,
  MediaProfile,
  Slot,
  SlotUse,
  SrtpReceiver,
  SrtpSender,
  Vault,
} from "@feldfon/protocol/vault";
import { type Algorithm, publicBytesOf } from "./agreement.ts";
import { eraseSlot, HandleTable, ownCopy, type SlotContent } from "./handles.ts";
import { ALGORITHMS, loadAddon, type NativeAddon, type NativeRealm, NativeVault, USES } from "./native.ts";
import { NodeVault, type VaultTables, vaultTables } from "./node.ts";
import { checkedKey, oaepKey, oaepOpen } from "./rsa.ts";
import { MediaReceiver, MediaSender } from "./srtp.ts";

/** A slot as it was at its birth; `secret` stays readable after the slot is wiped. */
export interface Birth {
  readonly use: SlotUse;
  readonly slot: Slot;
  readonly secret: Buffer;
}

/** What a test may do beyond the port, with either vault. */
export interface TestingVault extends Vault {
  /** Every slot since the beginning, so that a test can search the wire for what must not be there. */
  readonly births: readonly Birth[];
  /** Index of the first voice packet of senders and receivers made from now on; their slot holds its epoch's master. */
  mediaStart: number;
  /** A slot of any use and length from bytes that are known. */
  import<Use extends SlotUse>(use: Use, bytes: Uint8Array): Slot<Use>;
  /** @param privateBytes X25519: 32 bytes; ML-KEM-768: the seed d | z, 64 bytes (FIPS 203 §7.1) */
  importEphemeral<Asked extends Algorithm>(algorithm: Asked, privateBytes: Uint8Array): Ephemeral<Asked>;
  /** @param pkcs8 PKCS#8 in DER. @throws {VaultError} `bad-key` */
  importKeyPair(pkcs8: Uint8Array): Promise<KeyPair>;
  /** `unwrap` before it looks at the prefix: published vectors have none. @returns undefined when OAEP refuses */
  openOaep(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"mac"> | undefined>;
  /** A copy of what the slot holds now. @throws {VaultError} `empty-slot`, `no-such-slot` */
  reveal(slot: Slot): Buffer;
}

/** PKCS#8 in DER up to the raw key: X25519 (RFC 8410), the ML-KEM-768 seed (RFC 9935). */
const PRIVATE_FORM = {
  x25519: { head: "302e020100300506032b656e04220420", bytes: 32 },
  "ml-kem-768": { head: "3054020100300b060960864801650304040204428040", bytes: 64 },
};

export class NodeTestingVault extends NodeVault implements TestingVault {
  readonly births: readonly Birth[];
  mediaStart = 0;
  readonly #tables: VaultTables;

  constructor(options: { slotsMax?: number } = {}) {
    const slots = new RecordedSlots(eraseSlot);
    const tables = { ...vaultTables(), slots };
    super({ ...options, tables });
    this.births = slots.births;
    this.#tables = tables;
  }

  import<Use extends SlotUse>(use: Use, bytes: Uint8Array): Slot<Use> {
    const slot = Object.freeze({ use }) as unknown as Slot<Use>;
    return this.#tables.slots.put(slot, { use, bytes: ownCopy(bytes), counter: 0 });
  }

  importEphemeral<Asked extends Algorithm>(algorithm: Asked, privateBytes: Uint8Array): Ephemeral<Asked> {
    const { head, bytes } = PRIVATE_FORM[algorithm];
    if (privateBytes.length !== bytes) throw new Error(`a ${algorithm} private key has ${bytes} bytes`);
    const pkcs8 = Buffer.concat([Buffer.from(head, "hex"), privateBytes]);
    const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const ephemeral = Object.freeze({ algorithm, publicKey: publicBytesOf(privateKey) }) as unknown as Ephemeral<Asked>;
    return this.#tables.ephemerals.put(ephemeral, { algorithm, privateKey });
  }

  async importKeyPair(pkcs8: Uint8Array): Promise<KeyPair> {
    const read = (): KeyObject => createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
    const { privateKey, spki } = await checkedKey(read);
    const keyPair = Object.freeze({ spki }) as unknown as KeyPair;
    return this.#tables.keyPairs.put(keyPair, { privateKey, unwrapKey: oaepKey(privateKey) });
  }

  async openOaep(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"mac"> | undefined> {
    const clear = await oaepOpen(this.#tables.keyPairs.get(keyPair).unwrapKey, label, wrapped);
    return clear && this.import("mac", clear);
  }

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

/** The testing build of the native vault: the same C, and a door to look through. */
export class NativeTestingVault extends NativeVault implements TestingVault {
  readonly births: Birth[] = [];
  mediaStart = 0;
  readonly #native: TestingRealm;

  constructor(options: { slotsMax?: number } = {}) {
    const addon = loadAddon("vault-testing");
    let realm: NativeRealm | undefined;
    const watched: NativeAddon = {
      ...addon,
      open(...args) {
        const opened = addon.open(...args);
        if (typeof opened !== "string") realm = opened;
        return opened;
      },
    };
    super(options, watched);
    this.#native = realm as TestingRealm;
  }

  import<Use extends SlotUse>(use: Use, bytes: Uint8Array): Slot<Use> {
    return this.#born(this.#native.import(USES[use], bytes) as Slot<Use>);
  }

  importEphemeral<Asked extends Algorithm>(algorithm: Asked, privateBytes: Uint8Array): Ephemeral<Asked> {
    return this.#native.importEphemeral(ALGORITHMS[algorithm], privateBytes) as Ephemeral<Asked>;
  }

  async importKeyPair(pkcs8: Uint8Array): Promise<KeyPair> {
    return this.#native.importKeyPair(pkcs8);
  }

  async openOaep(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"mac"> | undefined> {
    try {
      return this.#born(this.#native.openOaep(keyPair, label, wrapped));
    } catch (error) {
      if (error instanceof VaultError && error.code === "unwrap") return undefined;
      throw error;
    }
  }

  reveal(slot: Slot): Buffer {
    return this.#native.reveal(slot);
  }

  override newSecret(): { wrap: Slot<"wrap">; derive: Slot<"derive"> } {
    const { wrap, derive } = super.newSecret();
    return { wrap: this.#born(wrap), derive: this.#born(derive) };
  }

  override async unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">> {
    return this.#born(await super.unwrap(keyPair, label, wrapped));
  }

  override agree(own: Ephemeral<"x25519">, peerPublicKey: Uint8Array): Slot<"derive"> {
    return this.#born(super.agree(own, peerPublicKey));
  }

  override encapsulate(encapsulationKey: Uint8Array): { ciphertext: Buffer; secret: Slot<"derive"> } {
    const made = super.encapsulate(encapsulationKey);
    this.#born(made.secret);
    return made;
  }

  override decapsulate(own: Ephemeral<"ml-kem-768">, ciphertext: Uint8Array): Slot<"derive"> {
    return this.#born(super.decapsulate(own, ciphertext));
  }

  override derive<Use extends Exclude<SlotUse, "wrap">>(
    use: Use,
    lengthBytes: number,
    keyMaterial: readonly Slot<"derive">[],
    salt: Uint8Array,
    info: Uint8Array,
  ): Slot<Use> {
    return this.#born(super.derive(use, lengthBytes, keyMaterial, salt, info));
  }

  override srtpSender(slot: Slot<"packet-seal">, profile: MediaProfile): SrtpSender {
    return this.#startingThere(() => super.srtpSender(slot, profile));
  }

  override srtpReceiver(slot: Slot<"packet-open">, profile: MediaProfile): SrtpReceiver {
    return this.#startingThere(() => super.srtpReceiver(slot, profile));
  }

  /** The core keeps one start for all its vaults, so it is set for this one call. */
  #startingThere<Media>(make: () => Media): Media {
    this.#native.mediaStartsAt(this.mediaStart);
    try {
      return make();
    } finally {
      this.#native.mediaStartsAt(0);
    }
  }

  #born<Born extends Slot>(slot: Born): Born {
    this.births.push({ use: slot.use, slot, secret: this.reveal(slot) });
    return slot;
  }
}

/** What napi/testing.c adds. */
interface TestingRealm extends NativeRealm {
  import(use: number, bytes: Uint8Array): Slot;
  importEphemeral(algorithm: number, privateBytes: Uint8Array): Ephemeral;
  importKeyPair(pkcs8: Uint8Array): KeyPair;
  openOaep(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Slot<"mac">;
  reveal(slot: Slot): Buffer;
  mediaStartsAt(index: number): void;
}

class RecordedSlots extends HandleTable<SlotContent> {
  readonly births: Birth[] = [];

  override put<Handle extends object>(handle: Handle, content: SlotContent): Handle {
    const slot = handle as unknown as Slot;
    this.births.push({ use: content.use, slot, secret: Buffer.from(content.bytes) });
    return super.put(handle, content);
  }
}

/** On node:crypto, so that it needs no build; FELDFON_TESTING_VAULT=native runs whole test files on the other one. */
export const AnyTestingVault: new (options?: { slotsMax?: number }) => TestingVault =
  process.env.FELDFON_TESTING_VAULT === "native" ? NativeTestingVault : NodeTestingVault;

export function testingVault(options: { slotsMax?: number } = {}): TestingVault {
  return new AnyTestingVault(options);
}

/**
 * The vault on node:crypto: the whole port, but its secrets lie in the memory of the JavaScript process, so it says
 * `degraded`. What it promises and what it can't is in README.md.
 */
import { generateKeyPair, type KeyObject, randomBytes, timingSafeEqual, type webcrypto } from "node:crypto";
import { promisify } from "node:util";
import { VaultError } from "@feldfon/protocol/errors";
import type {
  DeviceSecret,
  Ephemeral,
  KeyPair,
  MediaProfile,
  Slot,
  SlotUse,
  SrtpReceiver,
  SrtpSender,
  Unlocked,
  Vault,
  VaultStatus,
} from "@feldfon/protocol/vault";
import { type Algorithm, generate, mlKemDecapsulate, mlKemEncapsulate, x25519 } from "./agreement.ts";
import { gcmOpen, gcmSeal, hkdf, hmac, KEY_AND_IV_BYTES, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from "./gcm.ts";
import { eraseSlot, HandleTable, overwrite, ownCopy, type SlotContent } from "./handles.ts";
import { coreLimits } from "./hardening.ts";
import { Pin } from "./pin.ts";
import { readPrivately, writeWhole } from "./private-files.ts";
import {
  checkedKey,
  MODULUS_BITS,
  oaepKey,
  oaepOpen,
  oaepSeal,
  PUBLIC_EXPONENT,
  pkcs8Of,
  pssSign,
  pssVerifies,
  readKeyFile,
  readPkcs8,
  writeKeyFile,
} from "./rsa.ts";
import {
  DEVICE_KINDS,
  emptySlot,
  joinSealedFile,
  newHeader,
  openSlot,
  PIN_COST,
  type PinCost,
  parseSealedFile,
  type SealedFile,
  sealSlot,
  stretch,
} from "./sealed-file.ts";
import { MediaReceiver, MediaSender } from "./srtp.ts";

const SECRET_BYTES = 48;
const SECRET_PREFIX = Buffer.from("+++secret+++", "ascii");
const HKDF_BYTES_MAX = 255 * 32;
const MAC_BYTES = 32;
const MAC_BYTES_LEAST = 16;
const SLOTS_MAX = 65_536;

export interface KeyPairContent {
  privateKey: KeyObject;
  unwrapKey: webcrypto.CryptoKey;
}

export interface EphemeralContent {
  algorithm: Algorithm;
  privateKey: KeyObject;
}

/** All secrets of one vault. Whoever makes the tables can look into them, so a vault makes its own unless it is tested. */
export interface VaultTables {
  slots: HandleTable<SlotContent>;
  keyPairs: HandleTable<KeyPairContent>;
  ephemerals: HandleTable<EphemeralContent>;
}

export interface NodeVaultOptions {
  /** Slots and ephemerals that may live at the same time. */
  slotsMax?: number;
  /** Why there is no better vault, for its status. */
  because?: string;
  /** What a PIN costs in files that are made, for tests only: what is shipped is PIN_COST. */
  pinCost?: PinCost;
  /** For tests only. */
  tables?: VaultTables;
}

/** Key objects are not ours to overwrite: OpenSSL clears their numbers when the garbage collector frees them. */
function dropped(): void {}

export function vaultTables(): VaultTables {
  return {
    slots: new HandleTable(eraseSlot),
    keyPairs: new HandleTable(dropped),
    ephemerals: new HandleTable(dropped),
  };
}

export class NodeVault implements Vault {
  readonly #slots: HandleTable<SlotContent>;
  readonly #keyPairs: HandleTable<KeyPairContent>;
  readonly #ephemerals: HandleTable<EphemeralContent>;
  readonly #slotsMax: number;
  readonly #because: string | undefined;
  readonly #pin = new Pin();
  readonly #pinCost: PinCost;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  /** Counts `wipeAll`: what was begun before brings nothing back to life after. */
  #wipes = 0;

  constructor({ slotsMax = SLOTS_MAX, because, pinCost = PIN_COST, tables = vaultTables() }: NodeVaultOptions = {}) {
    this.#slots = tables.slots;
    this.#keyPairs = tables.keyPairs;
    this.#ephemerals = tables.ephemerals;
    this.#slotsMax = slotsMax;
    this.#because = because;
    this.#pinCost = pinCost;
  }

  status(): VaultStatus {
    const cores = coreLimits();
    return {
      protection: "degraded",
      library: `OpenSSL ${process.versions.openssl}`,
      slotsInUse: this.#slotsInUse,
      slotsMax: this.#slotsMax,
      randomness: "kernel",
      ...(this.#because !== undefined && { because: this.#because }),
      ...(cores && { coreLimitBytes: cores.soft }),
    };
  }

  // Key pairs

  makeKeyPair(): Promise<KeyPair> {
    const options = { modulusLength: MODULUS_BITS, publicExponent: PUBLIC_EXPONENT };
    return this.#bringKeyPair(async () => {
      const { privateKey } = await promisify(generateKeyPair)("rsa", options);
      return checkedKey(() => privateKey);
    });
  }

  loadKeyPair(path: string): Promise<KeyPair> {
    return this.#bringKeyPair(() => readKeyFile(path));
  }

  async saveKeyPair(keyPair: KeyPair, path: string): Promise<void> {
    await writeKeyFile(path, this.#keyPairs.get(keyPair).privateKey);
  }

  async sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer> {
    return pssSign(this.#keyPairs.get(keyPair).privateKey, message);
  }

  async unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">> {
    this.#checkRoom(1); // first, so that a full vault answers good and bad alike
    const clear = await oaepOpen(this.#keyPairs.get(keyPair).unwrapKey, label, wrapped);
    try {
      this.#keyPairs.get(keyPair); // a pair wiped meanwhile opens nothing more
      const fits =
        clear?.length === SECRET_PREFIX.length + SECRET_BYTES &&
        timingSafeEqual(clear.subarray(0, SECRET_PREFIX.length), SECRET_PREFIX);
      if (!fits) throw new VaultError("unwrap", "what came does not open as a secret for this key and label");
      return this.#bear("derive", ownCopy(clear.subarray(SECRET_PREFIX.length)));
    } finally {
      if (clear) overwrite(clear);
    }
  }

  async #bringKeyPair(
    bring: () => Promise<{ privateKey: KeyObject; spki: Buffer }>,
    wipes = this.#wipes,
  ): Promise<KeyPair> {
    const { privateKey, spki } = await bring();
    if (wipes !== this.#wipes) throw wipedMeanwhile();
    const keyPair = Object.freeze({ spki }) as unknown as KeyPair;
    return this.#keyPairs.put(keyPair, { privateKey, unwrapKey: oaepKey(privateKey) });
  }

  // Keys at rest

  pinPush(digit: number): number {
    return this.#pin.push(digit);
  }

  pinPop(): number {
    return this.#pin.pop();
  }

  pinClear(): void {
    this.#pin.clear();
  }

  pinDigits(): number {
    return this.#pin.digits;
  }

  pinKeep(): void {
    this.#pin.keep();
  }

  pinMatchesKept(): boolean {
    return this.#pin.matchesKept();
  }

  async loadSealedKeyPair(path: string, device: DeviceSecret): Promise<Unlocked> {
    const wipes = this.#wipes;
    const der = await this.#withPin(path, device, (file, material) => {
      const opened = openSlot(material, "key", file) ?? openSlot(material, "duress", file);
      if (!opened) throw new VaultError("bad-pin", "another PIN came than the key file was sealed under");
      return opened;
    });
    if (der.length > 0) {
      return { opened: "key", pair: await this.#bringKeyPair(() => readPkcs8(der), wipes) };
    }
    if (wipes !== this.#wipes) throw wipedMeanwhile();
    return { opened: "duress" };
  }

  async saveSealedKeyPair(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void> {
    const pin = this.#pin.take();
    const header = newHeader(device.kind, this.#pinCost);
    const file = parseSealedFile(joinSealedFile(header, { key: emptySlot(), duress: emptySlot() }));
    await this.#stretched(pin, file, device, (material) => this.#sealAnew(keyPair, path, file, material));
  }

  changePin(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void> {
    return this.#withPin(path, device, (file, material) => {
      refuseSame(openSlot(material, "duress", file));
      return this.#sealAnew(keyPair, path, file, material);
    });
  }

  setDuressPin(path: string, device: DeviceSecret): Promise<void> {
    return this.#withPin(path, device, (file, material) => {
      refuseSame(openSlot(material, "key", file));
      const duress = sealSlot(material, "duress", file.header);
      return writeWhole(path, joinSealedFile(file.header, { ...file.slots, duress }));
    });
  }

  async #sealAnew(keyPair: KeyPair, path: string, file: SealedFile, material: Buffer): Promise<void> {
    const der = pkcs8Of(this.#keyPairs.get(keyPair).privateKey);
    try {
      const key = sealSlot(material, "key", file.header, der);
      await writeWhole(path, joinSealedFile(file.header, { ...file.slots, key }));
    } finally {
      overwrite(der);
    }
  }

  /** @param use what to do with the file and with what its KEKs come from */
  async #withPin<Result>(
    path: string,
    device: DeviceSecret,
    use: (file: SealedFile, material: Buffer) => Result | Promise<Result>,
  ): Promise<Result> {
    const pin = this.#pin.take();
    try {
      const file = parseSealedFile(await readPrivately(path));
      if (file.kind !== DEVICE_KINDS[device.kind]) {
        throw new VaultError("other-device", "the key was sealed with another device than the one that is here now");
      }
      return await this.#stretched(pin, file, device, (material) => use(file, material));
    } finally {
      overwrite(pin);
    }
  }

  async #stretched<Result>(
    pin: Buffer,
    file: SealedFile,
    device: DeviceSecret,
    use: (material: Buffer) => Result | Promise<Result>,
  ): Promise<Result> {
    const material = await stretch(pin, file, device);
    try {
      return await use(material);
    } finally {
      overwrite(material);
    }
  }

  // Secrets for the owner of a public key

  newSecret(): { wrap: Slot<"wrap">; derive: Slot<"derive"> } {
    this.#checkRoom(2);
    const secret = randomBytes(SECRET_BYTES);
    return { wrap: this.#bear("wrap", ownCopy(secret)), derive: this.#bear("derive", secret) };
  }

  wrap(spki: Uint8Array, label: Uint8Array, secret: Slot<"wrap">): Buffer {
    const clear = Buffer.alloc(SECRET_PREFIX.length + SECRET_BYTES);
    try {
      clear.set(SECRET_PREFIX);
      clear.set(this.#contentOf(secret, "wrap").bytes, SECRET_PREFIX.length);
      return oaepSeal(spki, label, clear);
    } finally {
      overwrite(clear);
    }
  }

  verifies(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    return pssVerifies(spki, message, signature);
  }

  // Key agreement

  makeEphemeral<Asked extends Algorithm>(algorithm: Asked): Ephemeral<Asked> {
    this.#checkRoom(1);
    const { privateKey, publicKey } = generate(algorithm);
    const ephemeral = Object.freeze({ algorithm, publicKey }) as unknown as Ephemeral<Asked>;
    return this.#ephemerals.put(ephemeral, { algorithm, privateKey });
  }

  agree(own: Ephemeral<"x25519">, peerPublicKey: Uint8Array): Slot<"derive"> {
    const shared = x25519(this.#useUp(own, "x25519"), peerPublicKey);
    if (!shared) throw new VaultError("bad-point", "an X25519 public key came that leads to no secret");
    return this.#bear("derive", shared);
  }

  encapsulate(encapsulationKey: Uint8Array): { ciphertext: Buffer; secret: Slot<"derive"> } {
    this.#checkRoom(1);
    const made = mlKemEncapsulate(encapsulationKey);
    if (!made) throw new VaultError("bad-encapsulation-key", "what came is no ML-KEM-768 encapsulation key");
    return { ciphertext: made.ciphertext, secret: this.#bear("derive", made.sharedKey) };
  }

  decapsulate(own: Ephemeral<"ml-kem-768">, ciphertext: Uint8Array): Slot<"derive"> {
    const shared = mlKemDecapsulate(this.#useUp(own, "ml-kem-768"), ciphertext);
    if (!shared) {
      throw new VaultError("bad-ciphertext", `${ciphertext.length} bytes came, an ML-KEM-768 ciphertext has 1088`);
    }
    return this.#bear("derive", shared);
  }

  /** Good for one use, whatever comes of it. */
  #useUp(own: Ephemeral, algorithm: Algorithm): KeyObject {
    const content = this.#ephemerals.get(own);
    if (content.algorithm !== algorithm) {
      throw new VaultError("wrong-use", `an ephemeral of ${content.algorithm} came, ${algorithm} was expected`);
    }
    this.#ephemerals.wipe(own);
    return content.privateKey;
  }

  // Slot to slot

  derive<Use extends Exclude<SlotUse, "wrap">>(
    use: Use,
    lengthBytes: number,
    keyMaterial: readonly Slot<"derive">[],
    salt: Uint8Array,
    info: Uint8Array,
  ): Slot<Use> {
    if ((use as SlotUse) === "wrap") throw new VaultError("wrong-use", "what is derived is never wrapped");
    if (keyMaterial.length === 0) throw new VaultError("wrong-use", "nothing came to derive from");
    if (!Number.isInteger(lengthBytes) || lengthBytes < 1 || lengthBytes > HKDF_BYTES_MAX) {
      throw new VaultError("wrong-length", `${lengthBytes} bytes were asked for, HKDF-SHA-256 gives 1 to 8160`);
    }
    const parts = keyMaterial.map((slot) => this.#contentOf(slot, "derive").bytes);
    const joined = Buffer.alloc(parts.reduce((bytes, part) => bytes + part.length, 0));
    let at = 0;
    for (const part of parts) at += part.copy(joined, at);
    try {
      return this.#bear(use, hkdf(joined, salt, info, lengthBytes));
    } finally {
      overwrite(joined);
    }
  }

  rekey(slot: Slot<"stream-seal" | "stream-open">, salt: Uint8Array, info: Uint8Array): void {
    const { bytes } = this.#contentOf(slot, "stream-seal", "stream-open");
    const next = hkdf(bytes, salt, info, KEY_AND_IV_BYTES);
    next.copy(bytes);
    overwrite(next);
  }

  // Sealing

  seal(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, clear: Uint8Array): Buffer {
    const content = this.#contentOf(slot, "stream-seal", "packet-seal");
    const { key, nonce } = this.#sealing(content, counter);
    return gcmSeal(key, nonce, aad, clear);
  }

  sealInPlace(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, place: Uint8Array): void {
    const content = this.#contentOf(slot, "stream-seal", "packet-seal");
    if (place.length < TAG_BYTES) throw new VaultError("wrong-length", "no room came for the tag");
    const { key, nonce } = this.#sealing(content, counter);
    place.set(gcmSeal(key, nonce, aad, place.subarray(0, place.length - TAG_BYTES)));
  }

  #sealing(content: SlotContent, counter: number): { key: Buffer; nonce: Buffer } {
    checkCounter(content, counter);
    content.counter = counter + 1; // first, so that nothing below can lead to a second use of the nonce
    return { key: content.bytes.subarray(0, KEY_BYTES), nonce: this.#frameNonce(content.bytes, counter) };
  }

  open(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, sealed: Uint8Array): Buffer {
    return this.#opened(this.#contentOf(slot, "stream-open", "packet-open"), counter, aad, sealed);
  }

  openInPlace(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, place: Uint8Array): void {
    const content = this.#contentOf(slot, "stream-open", "packet-open");
    try {
      place.set(this.#opened(content, counter, aad, place));
    } catch (error) {
      if (error instanceof VaultError && error.code === "forged")
        place.fill(0, 0, Math.max(0, place.length - TAG_BYTES));
      throw error;
    }
  }

  #opened(content: SlotContent, counter: number, aad: Uint8Array, sealed: Uint8Array): Buffer {
    checkCounter(content, counter);
    const { bytes } = content;
    const clear = gcmOpen(bytes.subarray(0, KEY_BYTES), this.#frameNonce(bytes, counter), aad, sealed);
    if (!clear) throw new VaultError("forged", `what came under counter ${counter} does not carry its tag`);
    content.counter = counter + 1;
    return clear;
  }

  /** iv XOR (0^4 | u64 counter), good until the next one is asked for. */
  #frameNonce(keyAndIv: Buffer, counter: number): Buffer {
    const nonce = this.#nonce;
    const at = NONCE_BYTES - 8;
    keyAndIv.copy(nonce, 0, KEY_BYTES);
    nonce.writeUInt32BE((nonce.readUInt32BE(at) ^ Math.floor(counter / 2 ** 32)) >>> 0, at);
    nonce.writeUInt32BE((nonce.readUInt32BE(at + 4) ^ (counter % 2 ** 32)) >>> 0, at + 4);
    return nonce;
  }

  srtpSender(slot: Slot<"packet-seal">, profile: MediaProfile): SrtpSender {
    const content = this.#unusedMedia(slot, "packet-seal");
    const sender = this.newSender(content.bytes, profile);
    content.media = sender;
    return { seal: (payload, timestamp) => sender.seal(payload, timestamp), close: () => this.wipe(slot) };
  }

  srtpReceiver(slot: Slot<"packet-open">, profile: MediaProfile): SrtpReceiver {
    const content = this.#unusedMedia(slot, "packet-open");
    const receiver = this.newReceiver(content.bytes, profile);
    content.media = receiver;
    return { open: (packet) => receiver.open(packet), close: () => this.wipe(slot) };
  }

  protected newSender(master: Buffer, profile: MediaProfile): MediaSender {
    return new MediaSender(master, profile);
  }

  protected newReceiver(master: Buffer, profile: MediaProfile): MediaReceiver {
    return new MediaReceiver(master, profile);
  }

  /** A key that has sealed by itself is not SRTP's master as well. */
  #unusedMedia(slot: Slot, use: SlotUse): SlotContent {
    const content = this.#contentOf(slot, use);
    if (content.counter > 0) throw new VaultError("wrong-use", "a slot came for voice that was used before");
    return content;
  }

  // Message authentication

  mac(slot: Slot<"mac">, message: Uint8Array): Buffer {
    return hmac(this.#contentOf(slot, "mac").bytes, message);
  }

  macMatches(slot: Slot<"mac">, message: Uint8Array, tag: Uint8Array): boolean {
    const expected = this.mac(slot, message);
    return (
      tag.length >= MAC_BYTES_LEAST && tag.length <= MAC_BYTES && timingSafeEqual(expected.subarray(0, tag.length), tag)
    );
  }

  // The end of a secret

  /** @throws {VaultError} `no-such-slot` for a foreign handle, after all others are wiped */
  wipe(...handles: (Slot | KeyPair | Ephemeral | undefined)[]): void {
    let foreign = 0;
    for (const handle of handles) {
      if (!handle) continue;
      const known = [this.#slots, this.#keyPairs, this.#ephemerals].some((table) => table.wipe(handle));
      if (!known) foreign++;
    }
    if (foreign > 0) {
      throw new VaultError("no-such-slot", `${foreign} handles came to be wiped that this vault did not give out`);
    }
  }

  wipeAll(): void {
    this.#wipes++;
    this.#pin.clear();
    this.#slots.wipeAll();
    this.#keyPairs.wipeAll();
    this.#ephemerals.wipeAll();
  }

  // Slots

  /** Takes the bytes over. @throws {VaultError} `full`, `wrong-length` */
  #bear<Use extends SlotUse>(use: Use, bytes: Buffer): Slot<Use> {
    try {
      this.#checkRoom(1);
      if (isSealing(use) && bytes.length !== KEY_AND_IV_BYTES) {
        throw new VaultError("wrong-length", `${bytes.length} bytes came for ${use}, key and iv have 44`);
      }
    } catch (error) {
      overwrite(bytes);
      throw error;
    }
    const slot = Object.freeze({ use }) as unknown as Slot<Use>;
    return this.#slots.put(slot, { use, bytes, counter: 0 });
  }

  get #slotsInUse(): number {
    return this.#slots.size + this.#ephemerals.size;
  }

  #checkRoom(slots: number): void {
    if (this.#slotsInUse + slots > this.#slotsMax) {
      throw new VaultError("full", `${slots} more of ${this.#slotsMax} slots were asked for, too many are in use`);
    }
  }

  #contentOf(slot: Slot, ...uses: SlotUse[]): SlotContent {
    const content = this.#slots.get(slot);
    if (!uses.includes(content.use)) {
      throw new VaultError("wrong-use", `a slot for ${content.use} came, one for ${uses.join(" or ")} was expected`);
    }
    if (content.media) throw new VaultError("wrong-use", `a slot for ${content.use} came that voice has taken over`);
    return content;
  }
}

function wipedMeanwhile(): VaultError {
  return new VaultError("empty-slot", "the vault was wiped before the key pair was ready");
}

/** @param opened what the digits opened in the other slot */
function refuseSame(opened: Buffer | undefined): void {
  if (!opened) return;
  overwrite(opened);
  throw new VaultError("same-pin", "the PIN and the PIN under duress would be the same");
}

function isSealing(use: SlotUse): boolean {
  return use !== "derive" && use !== "mac" && use !== "wrap";
}

/** A stream counts without gaps, a packet's counter only rises. */
function checkCounter({ use, counter: next }: SlotContent, counter: number): void {
  const lawful = use.startsWith("stream") ? counter === next : counter >= next;
  if (!lawful || !Number.isSafeInteger(counter)) {
    throw new VaultError("counter", `counter ${counter} came on ${use}, ${next} was expected`);
  }
}

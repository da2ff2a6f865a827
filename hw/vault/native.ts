/**
 * The vault in locked memory: the whole port on the addon of napi/, whose core (core/vault.h) keeps keys, secrets and
 * the heap of its own OpenSSL where nobody else reads. Here is only what JavaScript does better: errors with sentences,
 * words for numbers, buffers for results.
 *
 * One core serves a process, opened by whoever comes first. Each NativeVault, also one in a Worker, has handles, limit
 * and `wipeAll` of its own; to the others its handles are `no-such-slot`. Arena and library are common to all.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { getSystemErrorMessage } from "node:util";
import { VaultError } from "@feldfon/protocol/errors";
import type {
  DeviceSecret,
  Ephemeral,
  KeyPair,
  MediaProfile,
  PacketRefusal,
  Slot,
  SlotUse,
  SrtpReceiver,
  SrtpSender,
  Unlocked,
  Vault,
  VaultStatus,
} from "@feldfon/protocol/vault";
import { type Algorithm, CIPHERTEXT_BYTES } from "./agreement.ts";
import { DEVICE_KINDS, PIN_COST, type PinCost } from "./sealed-file.ts";

/** Numbers of the core: enum vault_use, vault_algorithm. */
export const USES: Readonly<Record<SlotUse, number>> = {
  derive: 1,
  "stream-seal": 2,
  "stream-open": 3,
  "packet-seal": 4,
  "packet-open": 5,
  mac: 6,
  wrap: 7,
};
const USE_WORDS = Object.fromEntries(Object.entries(USES).map(([word, use]) => [use, word]));
export const ALGORITHMS: Readonly<Record<Algorithm, number>> = { x25519: 1, "ml-kem-768": 2 };
/** By enum vault_refusal. */
const PACKET_REFUSALS: readonly PacketRefusal[] = ["malformed", "replayed", "too-old", "forged"];

const TAG_BYTES = 16;
const MAC_BYTES = 32;
const WRAP_BYTES = 512;
const PACKET_BYTES_MORE = 28; // header 12, tag 16
const RLIM_INFINITY = 2 ** 64;

/** By code, what came and what was expected; codes are the core's words (vault_word). */
const SENTENCES: Readonly<Record<string, string>> = {
  full: "more slots were asked for than the vault has, or than its memory holds",
  "no-such-slot": "a handle came that this vault did not give out",
  "empty-slot": "the handle was used after its secret was wiped",
  "wrong-use": "a slot came that is for another use, or that is taken already",
  "wrong-length": "a length was asked for that HKDF or the slot's use does not have, or bytes of a wrong length came",
  counter: "a counter came that was used before, or that does not follow",
  forged: "what came under the expected counter does not carry its tag",
  exhausted: "2^48 voice packets were sealed, no index is left",
  "no-key": "there is no key file at the given path",
  "bad-key": "what came is no RSA-4096 key with e = 65537 whose halves belong together",
  "key-file-open": "the key file may be read by others: chmod 600 it, or make a new key",
  "not-saved": "the key file could not be saved",
  "short-pin": "a PIN has 6 to 12 digits",
  "bad-pin": "another PIN came than the key file was sealed under",
  "bad-digit": "a digit of a PIN is a number from 0 to 9",
  "same-pin": "the PIN and the PIN under duress would be the same",
  "other-device": "the key was sealed with another device than the one that is here now",
  "no-device": "the device's part of the key cannot be had: is it still there, and may we use it?",
  unwrap: "what came does not open as a secret for this key and label",
  "bad-point": "an X25519 public key came that leads to no secret",
  "bad-encapsulation-key": "what came is no ML-KEM-768 encapsulation key",
  "bad-ciphertext": "what came is no ML-KEM-768 ciphertext, which has 1088 bytes",
  "no-protection": "no memory can be locked for the vault: raise the limit (ulimit -l 16384, LimitMEMLOCK=16M)",
  "wrong-library": "the vault was built for another OpenSSL than it carries: build it anew",
};

/** What one vault can do, as napi/*.c gives it. Byte arguments are Uint8Arrays; the last of `seal`, `wrap` and their like is written to. */
export interface NativeRealm {
  status(): {
    secretMemory: boolean;
    library: string;
    slotsInUse: number;
    slotsMax: number;
    slotsOfProcess: number;
    arenaBytes: number;
    arenaUsedBytes: number;
    arenaPeakBytes: number;
    coreLimitBytes: number;
    dumpable: boolean;
    hardwareRandomness: boolean;
  };
  makeKeyPair(): Promise<KeyPair>;
  loadKeyPair(path: string): Promise<KeyPair>;
  saveKeyPair(keyPair: KeyPair, path: string): Promise<void>;
  newPin(): NativePin;
  pinPush(pin: NativePin, digit: number): number;
  pinPop(pin: NativePin): number;
  pinDigits(pin: NativePin): number;
  pinKeep(pin: NativePin): void;
  pinMatchesKept(pin: NativePin): boolean;
  /** Device: as deviceBytes makes them. @returns nothing for the PIN under duress */
  loadSealed(pin: NativePin, path: string, device: Uint8Array): Promise<KeyPair | undefined>;
  saveSealed(
    pin: NativePin,
    path: string,
    device: Uint8Array,
    keyPair: KeyPair,
    memoryKiB: number,
    passes: number,
  ): Promise<void>;
  changePin(pin: NativePin, path: string, device: Uint8Array, keyPair: KeyPair): Promise<void>;
  setDuressPin(pin: NativePin, path: string, device: Uint8Array): Promise<void>;
  sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer>;
  unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">>;
  newSecret(): { wrap: Slot<"wrap">; derive: Slot<"derive"> };
  wrap(spki: Uint8Array, label: Uint8Array, secret: Slot, wrapped: Uint8Array): void;
  verifies(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  makeEphemeral(algorithm: number): Ephemeral;
  agree(own: Ephemeral, peer: Uint8Array): Slot<"derive">;
  encapsulate(key: Uint8Array, ciphertext: Uint8Array): Slot<"derive">;
  decapsulate(own: Ephemeral, ciphertext: Uint8Array): Slot<"derive">;
  derive(use: number, bytes: number, salt: Uint8Array, info: Uint8Array, ...material: readonly Slot[]): Slot;
  rekey(slot: Slot, salt: Uint8Array, info: Uint8Array): void;
  seal(slot: Slot, counter: number, aad: Uint8Array, clear: Uint8Array, sealed: Uint8Array): void;
  open(slot: Slot, counter: number, aad: Uint8Array, sealed: Uint8Array, clear: Uint8Array): void;
  sealInPlace(slot: Slot, counter: number, aad: Uint8Array, place: Uint8Array): void;
  openInPlace(slot: Slot, counter: number, aad: Uint8Array, place: Uint8Array): void;
  srtpSender(slot: Slot, ssrc: number, ratchetSalt: Uint8Array, ratchetInfo: Uint8Array): NativePacketSealer;
  srtpReceiver(slot: Slot, ssrc: number, ratchetSalt: Uint8Array, ratchetInfo: Uint8Array): NativePacketOpener;
  mac(slot: Slot, message: Uint8Array, tag: Uint8Array): void;
  macMatches(slot: Slot, message: Uint8Array, tag: Uint8Array): boolean;
  /** @returns false for a handle of somebody else */
  wipe(handle: Slot | KeyPair | Ephemeral | NativePin): boolean;
  wipeAll(): void;
}

/** Serves one slot, as long as somebody holds the slot itself. */
type NativePacketSealer = (payload: Uint8Array, timestamp: number, packet: Uint8Array) => void;
/** @returns the packet's index, below 0 the refusal */
type NativePacketOpener = (packet: Uint8Array, payload: Uint8Array) => number;

declare const pinHandle: unique symbol;

/** Digits in the arena, by handle: a slot that counts for none. */
interface NativePin {
  readonly [pinHandle]: "pin";
}

export interface NativeAddon {
  /** @returns a word why not: the core's */
  open(
    refusal: (code: string, errno: number) => VaultError,
    slotOf: (use: number) => object,
    slotsMax: number,
    arenaBytes: number,
    locked: boolean,
  ): NativeRealm | string;
  /** Closes the process to others of the same user. @returns what the kernel says afterwards */
  harden(): { dumpable: boolean; coreLimitBytes: number; newPrivileges: boolean; sigusr1Ignored: boolean };
  /** C functions for our other addons (napi/handle.h); nothing for JavaScript to look into. */
  readonly voiceTable: object;
}

export interface NativeVaultOptions {
  /** Slots and ephemerals of this vault that may live at the same time; never more than the core has. */
  slotsMax?: number;
  /** Locked memory of the process; only the first vault's wish counts. */
  arenaBytes?: number;
  /** Leaves memfd_secret out, for tests and as the leak scan's control; only the first vault's wish counts. */
  locked?: boolean;
  /** What a PIN costs in files that are made, for tests only: what is shipped is PIN_COST. */
  pinCost?: PinCost;
}

/** Beside this file, and from dist/ also where it was built. @throws {VaultError} `not-built` with the reason */
export function loadAddon(name: "vault" | "vault-testing"): NativeAddon {
  const here = import.meta.dirname;
  const places = [join(here, "build"), join(here, "..", "..", "..", "hw", "vault", "build")];
  const path = places.map((place) => join(place, `${name}.node`)).find((path) => existsSync(path));
  if (!path) throw new VaultError("not-built", `hw/vault/build/${name}.node is missing: make vault`);
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    throw new VaultError("not-built", `hw/vault/build/${name}.node does not load: make vault`, { cause });
  }
}

export class NativeVault implements Vault {
  /** For our other addons, see NativeAddon. */
  readonly voiceTable: object;
  readonly #native: NativeRealm;
  readonly #pinCost: PinCost;
  #pin: NativePin | undefined;

  /** @throws {VaultError} `not-built`, `no-protection`, `wrong-library` */
  constructor(
    { slotsMax = 0, arenaBytes = 0, locked = false, pinCost = PIN_COST }: NativeVaultOptions = {},
    addon = loadAddon("vault"),
  ) {
    const opened = addon.open(refusal, slotOf, slotsMax, arenaBytes, locked);
    if (typeof opened === "string") throw refusal(opened, 0);
    this.#native = opened;
    this.#pinCost = pinCost;
    this.voiceTable = addon.voiceTable;
  }

  status(): VaultStatus {
    const now = this.#native.status();
    return {
      protection: now.secretMemory ? "memfd_secret" : "locked",
      library: now.library,
      slotsInUse: now.slotsInUse,
      slotsMax: now.slotsMax,
      randomness: now.hardwareRandomness ? "kernel+hwrng" : "kernel",
      arena: { bytes: now.arenaBytes, usedBytes: now.arenaUsedBytes, peakBytes: now.arenaPeakBytes },
      coreLimitBytes: limitOf(now.coreLimitBytes),
      dumpable: now.dumpable,
    };
  }

  // Key pairs: async, so that what is wrong at once rejects as well

  async makeKeyPair(): Promise<KeyPair> {
    return this.#native.makeKeyPair();
  }

  async loadKeyPair(path: string): Promise<KeyPair> {
    return this.#native.loadKeyPair(path);
  }

  async saveKeyPair(keyPair: KeyPair, path: string): Promise<void> {
    await this.#native.saveKeyPair(keyPair, path);
  }

  async sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer> {
    return this.#native.sign(keyPair, message);
  }

  async unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">> {
    return this.#native.unwrap(keyPair, label, wrapped);
  }

  // Keys at rest

  pinPush(digit: number): number {
    this.#pin ??= this.#native.newPin();
    return this.#native.pinPush(this.#pin, digit);
  }

  pinPop(): number {
    return this.#pin ? this.#native.pinPop(this.#pin) : 0;
  }

  pinClear(): void {
    if (this.#pin) this.#native.wipe(this.#pin);
    this.#pin = undefined;
  }

  pinDigits(): number {
    return this.#pin ? this.#native.pinDigits(this.#pin) : 0;
  }

  pinKeep(): void {
    if (this.#pin) this.#native.pinKeep(this.#pin);
  }

  pinMatchesKept(): boolean {
    return this.#pin !== undefined && this.#native.pinMatchesKept(this.#pin);
  }

  async loadSealedKeyPair(path: string, device: DeviceSecret): Promise<Unlocked> {
    const pair = await this.#usingPin((pin) => this.#native.loadSealed(pin, path, deviceBytes(device)));
    return pair ? { opened: "key", pair } : { opened: "duress" };
  }

  async saveSealedKeyPair(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void> {
    const { memoryKiB, passes } = this.#pinCost;
    await this.#usingPin((pin) => this.#native.saveSealed(pin, path, deviceBytes(device), keyPair, memoryKiB, passes));
  }

  async changePin(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void> {
    await this.#usingPin((pin) => this.#native.changePin(pin, path, deviceBytes(device), keyPair));
  }

  async setDuressPin(path: string, device: DeviceSecret): Promise<void> {
    await this.#usingPin((pin) => this.#native.setDuressPin(pin, path, deviceBytes(device)));
  }

  /** The digits go with the call: what is typed meanwhile is another PIN. */
  async #usingPin<Result>(use: (pin: NativePin) => Promise<Result>): Promise<Result> {
    const pin = this.#pin;
    this.#pin = undefined;
    if (!pin) throw refusal("short-pin", 0);
    try {
      return await use(pin);
    } finally {
      this.#native.wipe(pin);
    }
  }

  // Secrets for the owner of a public key

  newSecret(): { wrap: Slot<"wrap">; derive: Slot<"derive"> } {
    return this.#native.newSecret();
  }

  wrap(spki: Uint8Array, label: Uint8Array, secret: Slot<"wrap">): Buffer {
    const wrapped = Buffer.allocUnsafe(WRAP_BYTES);
    this.#native.wrap(spki, label, secret, wrapped);
    return wrapped;
  }

  verifies(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    return this.#native.verifies(spki, message, signature);
  }

  // Key agreement

  makeEphemeral<Asked extends Algorithm>(algorithm: Asked): Ephemeral<Asked> {
    return this.#native.makeEphemeral(ALGORITHMS[algorithm]) as Ephemeral<Asked>;
  }

  agree(own: Ephemeral<"x25519">, peerPublicKey: Uint8Array): Slot<"derive"> {
    return this.#native.agree(own, peerPublicKey);
  }

  encapsulate(encapsulationKey: Uint8Array): { ciphertext: Buffer; secret: Slot<"derive"> } {
    const ciphertext = Buffer.allocUnsafe(CIPHERTEXT_BYTES);
    return { secret: this.#native.encapsulate(encapsulationKey, ciphertext), ciphertext };
  }

  decapsulate(own: Ephemeral<"ml-kem-768">, ciphertext: Uint8Array): Slot<"derive"> {
    return this.#native.decapsulate(own, ciphertext);
  }

  // Slot to slot

  derive<Use extends Exclude<SlotUse, "wrap">>(
    use: Use,
    lengthBytes: number,
    keyMaterial: readonly Slot<"derive">[],
    salt: Uint8Array,
    info: Uint8Array,
  ): Slot<Use> {
    return this.#native.derive(USES[use], lengthBytes, salt, info, ...keyMaterial) as Slot<Use>;
  }

  rekey(slot: Slot<"stream-seal" | "stream-open">, salt: Uint8Array, info: Uint8Array): void {
    this.#native.rekey(slot, salt, info);
  }

  // Sealing: one call each, results in Node's pool like those of any small Buffer

  seal(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, clear: Uint8Array): Buffer {
    const sealed = Buffer.allocUnsafe(clear.length + TAG_BYTES);
    this.#native.seal(slot, counter, aad, clear, sealed);
    return sealed;
  }

  sealInPlace(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, place: Uint8Array): void {
    this.#native.sealInPlace(slot, counter, aad, place);
  }

  open(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, sealed: Uint8Array): Buffer {
    const clear = Buffer.allocUnsafe(Math.max(sealed.length - TAG_BYTES, 0));
    this.#native.open(slot, counter, aad, sealed, clear);
    return clear;
  }

  openInPlace(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, place: Uint8Array): void {
    this.#native.openInPlace(slot, counter, aad, place);
  }

  srtpSender(slot: Slot<"packet-seal">, { ssrc, ratchet }: MediaProfile): SrtpSender {
    const seal = this.#native.srtpSender(slot, ssrc, ratchet.salt, ratchet.info);
    return {
      seal: (payload, timestamp) => {
        const packet = Buffer.allocUnsafe(payload.length + PACKET_BYTES_MORE);
        seal(payload, timestamp, packet);
        return packet;
      },
      close: () => this.wipe(slot), // and so the slot is held as long as the sender
    };
  }

  srtpReceiver(slot: Slot<"packet-open">, { ssrc, ratchet }: MediaProfile): SrtpReceiver {
    const open = this.#native.srtpReceiver(slot, ssrc, ratchet.salt, ratchet.info);
    return {
      open: (packet) => {
        const payload = Buffer.allocUnsafe(Math.max(packet.length - PACKET_BYTES_MORE, 0));
        const index = open(packet, payload);
        if (index < 0) return PACKET_REFUSALS[-index - 1]!;
        return { index, timestamp: timestampOf(packet), payload };
      },
      close: () => this.wipe(slot),
    };
  }

  // Message authentication

  mac(slot: Slot<"mac">, message: Uint8Array): Buffer {
    const tag = Buffer.allocUnsafe(MAC_BYTES);
    this.#native.mac(slot, message, tag);
    return tag;
  }

  macMatches(slot: Slot<"mac">, message: Uint8Array, tag: Uint8Array): boolean {
    return this.#native.macMatches(slot, message, tag);
  }

  // The end of a secret

  /** @throws {VaultError} `no-such-slot` for a foreign handle, after all others are wiped */
  wipe(...handles: (Slot | KeyPair | Ephemeral | undefined)[]): void {
    let foreign = 0;
    for (const handle of handles) {
      if (handle && !this.#native.wipe(handle)) foreign++;
    }
    if (foreign > 0) {
      throw new VaultError("no-such-slot", `${foreign} handles came to be wiped that this vault did not give out`);
    }
  }

  wipeAll(): void {
    this.#pin = undefined;
    this.#native.wipeAll();
  }
}

/** kind, 0 for a file or 1 for a command, then its words, each with a zero behind it (core/device.c). */
function deviceBytes(device: DeviceSecret): Buffer {
  const words = "file" in device ? [device.file] : device.command;
  if (words.some((word) => word.includes("\0"))) throw new TypeError("a path or an argument with a zero in it came");
  const head = Buffer.from([DEVICE_KINDS[device.kind], "file" in device ? 0 : 1]);
  return Buffer.concat([head, ...words.map((word) => Buffer.from(`${word}\0`))]);
}

/** @param bytes a limit as the system says it, 2^64 - 1 for none, which a number cannot hold */
export function limitOf(bytes: number): number {
  return bytes >= RLIM_INFINITY ? Number.POSITIVE_INFINITY : bytes;
}

/** What a slot shows of itself. @param use the core's number */
function slotOf(use: number): object {
  return Object.freeze({ use: USE_WORDS[use] });
}

/** @param word the core's. @param errno what the system said, 0 when it was not asked */
function refusal(word: string, errno: number): VaultError {
  const code = word === "file" ? "not-saved" : word; // only saving asks the system for something it may refuse
  const cause = errno === 0 ? undefined : new Error(getSystemErrorMessage(-errno));
  // An internal error names itself; it is a mistake of ours.
  return new VaultError(code, SENTENCES[code] ?? `the vault failed: ${code}`, cause && { cause });
}

function timestampOf(packet: Uint8Array): number {
  return Buffer.from(packet.buffer, packet.byteOffset, packet.length).readUInt32BE(4);
}

/**
 * The vault, as everybody else sees it: keys are born here or brought here, and only results come out. JavaScript
 * holds handles; no call returns a secret (seed 003: SecureVault; its `retrieve` is use by handle).
 *
 * The port knows no labels and no messages: `salt`, `info` and `label` come from protocol/crypto/transcript.ts.
 */

/** What a slot may be used for, fixed at its birth. */
export type SlotUse = "derive" | "stream-seal" | "stream-open" | "packet-seal" | "packet-open" | "mac" | "wrap";

declare const handle: unique symbol;

/** A place in the vault; holds a secret, is not the secret. */
export interface Slot<Use extends SlotUse = SlotUse> {
  readonly use: Use;
  readonly [handle]: "slot";
}

/** An RSA-4096 key pair (e = 65537) whose private half stays inside. */
export interface KeyPair {
  /** The public half: canonical DER SubjectPublicKeyInfo, 550 bytes. */
  readonly spki: Buffer;
  readonly [handle]: "key-pair";
}

/** One fresh half of a key agreement, good for one use. */
export interface Ephemeral<Algorithm extends "x25519" | "ml-kem-768" = "x25519" | "ml-kem-768"> {
  readonly algorithm: Algorithm;
  /** X25519: 32 bytes (RFC 7748). ML-KEM-768: encapsulation key, 1,184 bytes (FIPS 203). */
  readonly publicKey: Buffer;
  readonly [handle]: "ephemeral";
}

export interface VaultStatus {
  /** Where secrets lie: never mapped for the kernel, locked in memory, or in the JavaScript heap. */
  protection: "memfd_secret" | "locked" | "degraded";
  /** The cryptographic library and its version. */
  library: string;
  slotsInUse: number;
  slotsMax: number;
  /** What the library's generator is seeded by: the kernel (getrandom), and /dev/hwrng beside it where that can be read. */
  randomness: "kernel" | "kernel+hwrng";
  /** Why the protection is no better. */
  because?: string;
  /** Locked memory, shared by all vaults of the process. */
  arena?: { bytes: number; usedBytes: number; peakBytes: number };
  /** The largest core file the process may leave, Infinity without a limit; missing where the system does not say. */
  coreLimitBytes?: number;
  /** Whether the memory may be dumped or read by others of the same user; missing where nobody looked. */
  dumpable?: boolean;
}

/** What keeps others out of the process that holds the vault, as the system says it once all was done that could be. */
export interface HardeningStatus {
  /** Whether others of the same user may read or trace the process; missing where nobody could look. */
  dumpable?: boolean;
  /** The largest core file the process can ever allow itself (hard limit); missing where nobody could look. */
  coreLimitBytes?: number;
  /** Whether a program it starts may have more rights than itself; missing where nobody could look. */
  newPrivileges?: boolean;
  /** Whether somebody may open Node's inspector from outside. */
  inspector: boolean;
  /** What could not be done, in words for an operator; nothing: all of it is. */
  missing: readonly string[];
}

/** How a media slot becomes packets (wire.md 1, VOICE; RFC 3711, RFC 7714). */
export interface MediaProfile {
  ssrc: number;
  /** HKDF salt and info of the ratchet that makes the next epoch's 44 bytes. */
  ratchet: { salt: Uint8Array; info: Uint8Array };
}

/** Seals voice for one direction of one call: SRTP AEAD_AES_256_GCM with KDF, index and ratchet inside. */
export interface SrtpSender {
  /** @param timestamp samples sent before this packet @returns header (12) | ciphertext | tag (16) */
  seal(payload: Uint8Array, timestamp: number): Buffer;
  /** Wipes the keys. Closing twice is harmless. */
  close(): void;
}

/** Why a packet was let go. */
export type PacketRefusal = "malformed" | "replayed" | "too-old" | "forged";

/** Opens voice of one direction of one call, in whatever order the wire brings it; replay window inside. */
export interface SrtpReceiver {
  open(packet: Uint8Array): { index: number; timestamp: number; payload: Buffer } | PacketRefusal;
  close(): void;
}

/**
 * What ties a sealed key file to one device, and where the vault reads it: itself, so that it is no JavaScript value.
 * 16 to 256 bytes, all that the file holds or the command prints; always the same on this device, and only on it.
 */
export type DeviceSecret = { readonly kind: DeviceSecretKind } & (
  | { readonly file: string }
  /** Path of a program, then its arguments; nothing comes to its standard input. */
  | { readonly command: readonly string[] }
);

/** `none`: a file beside the key, which a copied card brings along. */
export type DeviceSecretKind = "none" | "tpm" | "firmware-crypto" | "otp";

/** What a PIN opened: the key, or nothing but the wish of somebody who is forced to type one. */
export type Unlocked = { readonly opened: "key"; readonly pair: KeyPair } | { readonly opened: "duress" };

export interface Vault {
  status(): VaultStatus;

  /** A new RSA-4096 key pair; takes seconds on a handset, off the event loop. */
  makeKeyPair(): Promise<KeyPair>;
  /** @throws {VaultError} `no-key` (nothing at path), `bad-key` */
  loadKeyPair(path: string): Promise<KeyPair>;
  /** Saved whole or not at all: temporary file, fsync, rename; mode 0600. */
  saveKeyPair(keyPair: KeyPair, path: string): Promise<void>;

  /**
   * The PIN comes in digit by digit and stays here: 6 to 12 of them. Whatever uses it uses it up, and so does
   * `wipeAll`.
   *
   * @param digit 0..9. @returns digits typed so far; a thirteenth is not taken
   */
  pinPush(digit: number): number;
  /** Takes the last digit back. @returns digits left */
  pinPop(): number;
  /** Forgets all that was typed, kept or not. */
  pinClear(): void;
  /** How many digits are typed. */
  pinDigits(): number;
  /** What was typed becomes the first entry; it is to be typed once more. */
  pinKeep(): void;
  /** Compares in constant time. True: the digits stay, to be used; false: both entries are forgotten. */
  pinMatchesKept(): boolean;

  /**
   * Opens a sealed key file with the digits typed; takes a second or so on a handset, off the event loop.
   *
   * @throws {VaultError} `bad-pin`, `short-pin` (fewer than 6 digits); before any PIN is tried: `no-key`, `bad-key` (no
   *   sealed file, or a damaged one), `key-file-open`, `other-device` (sealed on a device of another kind), `no-device`
   */
  loadSealedKeyPair(path: string, device: DeviceSecret): Promise<Unlocked>;
  /**
   * Seals the key pair under the digits typed and the device's secret, without a duress PIN. Saved whole or not at all.
   *
   * @throws {VaultError} `short-pin`, `no-device`, `not-saved`
   */
  saveSealedKeyPair(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void>;
  /**
   * Seals the key pair anew under the digits typed; a duress PIN stays as it is.
   *
   * @throws {VaultError} `same-pin` when the digits are the duress PIN; as `loadSealedKeyPair` and `saveSealedKeyPair`
   */
  changePin(keyPair: KeyPair, path: string, device: DeviceSecret): Promise<void>;
  /**
   * The digits typed become the duress PIN. Nobody can tell from the file whether it has one.
   *
   * @throws {VaultError} `same-pin` when the digits are the PIN; as `loadSealedKeyPair` and `saveSealedKeyPair`
   */
  setDuressPin(path: string, device: DeviceSecret): Promise<void>;

  /** RSASSA-PSS, SHA-256, MGF1-SHA-256, salt 32 (RFC 8017 §8.1), off the event loop. @returns 512 bytes */
  sign(keyPair: KeyPair, message: Uint8Array): Promise<Buffer>;
  /**
   * RSAES-OAEP, SHA-256, MGF1-SHA-256 (RFC 8017 §7.1), off the event loop; strips `+++secret+++` inside.
   * @returns the 48-byte secret. @throws {VaultError} `unwrap`, the same for every cause
   */
  unwrap(keyPair: KeyPair, label: Uint8Array, wrapped: Uint8Array): Promise<Slot<"derive">>;

  /** 48 fresh random bytes, once to be wrapped for public keys and once to derive from (seed 000, connect 4). */
  newSecret(): { wrap: Slot<"wrap">; derive: Slot<"derive"> };
  /** OAEP of `+++secret+++` | secret for the owner of a public key. Only `newSecret` makes slots that may be wrapped. @returns 512 bytes */
  wrap(spki: Uint8Array, label: Uint8Array, secret: Slot<"wrap">): Buffer;
  /**
   * RSASSA-PSS as `sign` makes it. Nothing of it is secret; a server wraps for most keys that it verifies with, and reading
   * a key costs as much as using it. @throws {VaultError} `bad-key`
   */
  verifies(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;

  makeEphemeral<Algorithm extends "x25519" | "ml-kem-768">(algorithm: Algorithm): Ephemeral<Algorithm>;
  /** X25519 (RFC 7748 §6.1); the ephemeral is wiped. @throws {VaultError} `bad-point` on an all-zero result or a wrong length */
  agree(own: Ephemeral<"x25519">, peerPublicKey: Uint8Array): Slot<"derive">;
  /** ML-KEM-768 (FIPS 203). @throws {VaultError} `bad-encapsulation-key` (FIPS 203 §7.2) */
  encapsulate(encapsulationKey: Uint8Array): { ciphertext: Buffer; secret: Slot<"derive"> };
  /** The ephemeral is wiped. @throws {VaultError} `bad-ciphertext` on a wrong length */
  decapsulate(own: Ephemeral<"ml-kem-768">, ciphertext: Uint8Array): Slot<"derive">;

  /** HKDF-SHA-256 (RFC 5869) from the joined slots into a new one. */
  derive<Use extends Exclude<SlotUse, "wrap">>(
    use: Use,
    lengthBytes: number,
    keyMaterial: readonly Slot<"derive">[],
    salt: Uint8Array,
    info: Uint8Array,
  ): Slot<Use>;
  /** Replaces a stream slot's 44 bytes by HKDF of themselves; its counter goes on. */
  rekey(slot: Slot<"stream-seal" | "stream-open">, salt: Uint8Array, info: Uint8Array): void;

  /**
   * AES-256-GCM (NIST SP 800-38D) under a slot of 44 bytes: key 32 | iv 12; nonce = iv XOR (0^4 | u64 counter).
   * A stream's counter is exactly 0, 1, 2 ..; a packet's only rises. @throws {VaultError} `counter`
   * @returns ciphertext | tag (16)
   */
  seal(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, clear: Uint8Array): Buffer;
  /** `seal` of a frame where it stands. @param place clear text and room for the tag (16); then ciphertext | tag */
  sealInPlace(slot: Slot<"stream-seal" | "packet-seal">, counter: number, aad: Uint8Array, place: Uint8Array): void;
  /** Same counter rules; a failed open does not move the counter. @throws {VaultError} `counter`, `forged` */
  open(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, sealed: Uint8Array): Buffer;
  /** `open` of a frame where it stands. @param place ciphertext | tag; then the clear text and a tag to forget, zeros when it is forged */
  openInPlace(slot: Slot<"stream-open" | "packet-open">, counter: number, aad: Uint8Array, place: Uint8Array): void;

  /** Takes the slot over: it is wiped when the sender is closed and serves nothing else from now on. */
  srtpSender(slot: Slot<"packet-seal">, profile: MediaProfile): SrtpSender;
  srtpReceiver(slot: Slot<"packet-open">, profile: MediaProfile): SrtpReceiver;

  /** HMAC-SHA-256 (RFC 2104). @returns 32 bytes */
  mac(slot: Slot<"mac">, message: Uint8Array): Buffer;
  /** Compares in constant time; `tag` may be the first 16 or more bytes of the MAC. */
  macMatches(slot: Slot<"mac">, message: Uint8Array, tag: Uint8Array): boolean;

  /** Overwrites for good. The handle is not used again, so wiping twice is harmless. */
  wipe(...handles: (Slot | KeyPair | Ephemeral | undefined)[]): void;
  /** On exit: everything, key pairs too. */
  wipeAll(): void;
}

/**
 * A key file sealed under a PIN and a device's secret; both vaults write and read the same bytes.
 *
 *     0       5       6    7     8      12     16   32         2620          5208      5240
 *     +-------+-------+----+-----+------+------+----+----------+-------------+---------+
 *     | FFKEY | 1     |kind|lanes|memory|passes|salt| key slot | duress slot | SHA-256 |
 *     +-------+-------+----+-----+------+------+----+----------+-------------+---------+
 *       magic  version      1     KiB                                         of all before
 *
 *     slot     | nonce 12 | AES-256-GCM 2,560 | tag 16 |     under the slot's KEK, with the 32 bytes of the header as AAD
 *     clear    | length, 2 bytes | PKCS#8 in DER | zeros |   length 0: what a duress PIN opens
 *     KEK      = HKDF-SHA-256(Argon2id(PIN in ASCII, salt) 32 | device secret, no salt, "feldfon/kek/v1 key" or ".. duress")
 *
 * Without a duress PIN its slot is random bytes. The SHA-256 tells damage from a wrong PIN; it protects nothing.
 */
import * as crypto from "node:crypto";
import { promisify } from "node:util";
import { VaultError } from "@feldfon/protocol/errors";
import type { DeviceSecret, DeviceSecretKind } from "@feldfon/protocol/vault";
import { readDeviceSecret } from "./device-bytes.ts";
import { gcmOpen, gcmSeal, hkdf, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from "./gcm.ts";
import { overwrite } from "./handles.ts";

const MAGIC = Buffer.from("FFKEY");
const VERSION = 1;
const LANES = 1;
const SALT_BYTES = 16;
const HEADER_BYTES = 32;
const CLEAR_BYTES = 2560;
const SLOT_BYTES = NONCE_BYTES + CLEAR_BYTES + TAG_BYTES;
const HASH_BYTES = 32;
const FILE_BYTES = HEADER_BYTES + 2 * SLOT_BYTES + HASH_BYTES;
const STRETCHED_BYTES = 32;
const NOTHING = Buffer.alloc(0);
/** More would be no file of ours, and could keep the handset busy for hours. */
const MEMORY_KIB_MOST = 1024 * 1024;
const PASSES_MOST = 16;

/** The numbers in the file, enum vault_device_kind of the core. */
export const DEVICE_KINDS: Readonly<Record<DeviceSecretKind, number>> = {
  none: 0,
  tpm: 1,
  "firmware-crypto": 2,
  otp: 3,
};

/** What a try of a PIN costs (RFC 9106: m, t). */
export interface PinCost {
  memoryKiB: number;
  passes: number;
}

/** What is shipped: 64 MiB, 0.2 s on a PC, a second or so on a handset. */
export const PIN_COST: PinCost = { memoryKiB: 64 * 1024, passes: 3 };

export type SlotName = "key" | "duress";

/** The file, taken apart; nothing of it is clear. */
export interface SealedFile {
  readonly header: Buffer;
  readonly kind: number;
  readonly cost: PinCost;
  readonly salt: Buffer;
  readonly slots: Readonly<Record<SlotName, Buffer>>;
}

export function newHeader(kind: DeviceSecretKind, { memoryKiB, passes }: PinCost): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.set([VERSION, DEVICE_KINDS[kind], LANES], MAGIC.length);
  header.writeUInt32BE(memoryKiB, 8);
  header.writeUInt32BE(passes, 12);
  crypto.randomBytes(SALT_BYTES).copy(header, 16);
  return header;
}

/** @throws {VaultError} `bad-key` */
export function parseSealedFile(bytes: Buffer): SealedFile {
  const whole = bytes.length === FILE_BYTES && bytes.subarray(0, MAGIC.length).equals(MAGIC);
  if (!whole || !sha256(bytes.subarray(0, -HASH_BYTES)).equals(bytes.subarray(-HASH_BYTES))) throw damaged();
  const header = bytes.subarray(0, HEADER_BYTES);
  const cost = { memoryKiB: header.readUInt32BE(8), passes: header.readUInt32BE(12) };
  const { memoryKiB, passes } = cost;
  const known =
    header[5] === VERSION &&
    header[7] === LANES &&
    memoryKiB >= 8 &&
    memoryKiB <= MEMORY_KIB_MOST &&
    passes >= 1 &&
    passes <= PASSES_MOST;
  if (!known) throw damaged();
  const slot = (number: number) =>
    bytes.subarray(HEADER_BYTES + number * SLOT_BYTES, HEADER_BYTES + (number + 1) * SLOT_BYTES);
  return {
    header,
    kind: header[6]!,
    cost,
    salt: header.subarray(16, 16 + SALT_BYTES),
    slots: { key: slot(0), duress: slot(1) },
  };
}

export function joinSealedFile(header: Buffer, slots: Readonly<Record<SlotName, Buffer>>): Buffer {
  const body = Buffer.concat([header, slots.key, slots.duress]);
  return Buffer.concat([body, sha256(body)]);
}

/** What nobody can tell from a slot that somebody can open. */
export function emptySlot(): Buffer {
  return crypto.randomBytes(SLOT_BYTES);
}

const stretchOffLoop = promisify<"argon2id", crypto.Argon2Parameters, Buffer>(crypto.argon2 ?? missing);

/**
 * @param pin taken over
 * @returns what both KEKs come from: Argon2id | device secret; the caller's to overwrite
 * @throws {VaultError} `no-device`
 */
export async function stretch(pin: Buffer, { salt, cost }: SealedFile, device: DeviceSecret): Promise<Buffer> {
  try {
    const secret = await readDeviceSecret(device);
    const { memoryKiB: memory, passes } = cost;
    const settings = { message: pin, nonce: salt, parallelism: LANES, tagLength: STRETCHED_BYTES, memory, passes };
    const stretched = await stretchOffLoop("argon2id", settings);
    const material = Buffer.alloc(STRETCHED_BYTES + secret.length);
    stretched.copy(material);
    secret.copy(material, STRETCHED_BYTES);
    overwrite(stretched);
    overwrite(secret);
    return material;
  } finally {
    overwrite(pin);
  }
}

/** @param der PKCS#8, or nothing for the duress PIN's slot; the caller's to overwrite */
export function sealSlot(material: Buffer, name: SlotName, header: Buffer, der: Buffer = NOTHING): Buffer {
  const clear = Buffer.alloc(CLEAR_BYTES);
  const key = kek(material, name);
  try {
    clear.writeUInt16BE(der.length);
    if (der.copy(clear, 2) !== der.length) throw new VaultError("bad-key", "a key came that is too long to be sealed");
    const nonce = crypto.randomBytes(NONCE_BYTES);
    return Buffer.concat([nonce, gcmSeal(key, nonce, header, clear)]);
  } finally {
    overwrite(clear);
    overwrite(key);
  }
}

/** @returns what was sealed, the caller's to overwrite; undefined when the material is not this slot's */
export function openSlot(material: Buffer, name: SlotName, { header, slots }: SealedFile): Buffer | undefined {
  const key = kek(material, name);
  const slot = slots[name];
  const clear = gcmOpen(key, slot.subarray(0, NONCE_BYTES), header, slot.subarray(NONCE_BYTES));
  overwrite(key);
  if (!clear) return undefined;
  const der = Buffer.from(clear.subarray(2, 2 + clear.readUInt16BE()));
  overwrite(clear);
  return der;
}

function kek(material: Buffer, name: SlotName): Buffer {
  return hkdf(material, NOTHING, Buffer.from(`feldfon/kek/v1 ${name}`), KEY_BYTES);
}

function sha256(bytes: Buffer): Buffer {
  return crypto.createHash("sha256").update(bytes).digest();
}

function damaged(): VaultError {
  return new VaultError("bad-key", "the sealed key file is damaged, or none of ours");
}

function missing(): never {
  throw new VaultError("no-argon2", "this Node has no Argon2, so no PIN can be used: Node 24.7 or later is needed");
}

/** RSA-4096 with e = 65537 and its key file (PKCS#8 in PEM: RFC 5958, RFC 7468). */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  sign,
  subtle,
  verify,
  type webcrypto,
} from "node:crypto";
import { promisify } from "node:util";
import { VaultError } from "@feldfon/protocol/errors";
import { readPrivately, writeWhole } from "./private-files.ts";
import { readSpki } from "./spki.ts";

export const MODULUS_BITS = 4096;
/** A signature and what is sealed have as many, leading zeros too (RFC 8017 §7.1.2, §8.1.2, step 1); OpenSSL takes fewer. */
const MODULUS_BYTES = MODULUS_BITS / 8;
export const PUBLIC_EXPONENT = 65537;
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };

const signOffLoop = promisify<string, Uint8Array, KeyObject, Buffer>(sign);

/** RSASSA-PSS, SHA-256, salt 32, off the event loop; the message is copied first. */
export function pssSign(privateKey: KeyObject, message: Uint8Array): Promise<Buffer> {
  return signOffLoop("sha256", message, Object.assign(privateKey, PSS));
}

/** RSAES-OAEP, SHA-256. @param spki DER SubjectPublicKeyInfo @throws {VaultError} `bad-key` */
export function oaepSeal(spki: Uint8Array, label: Uint8Array, clear: Uint8Array): Buffer {
  // The options lie on the key object itself: from any other object Node 24 learns by throwing that it is none.
  const key: KeyObject & { oaepLabel?: Uint8Array | undefined } = publicKeyOf(spki);
  const sealed = publicEncrypt(Object.assign(key, OAEP, { oaepLabel: label }), clear);
  // The key is kept, and so would be the whole 64 KiB of Node's pool that the label is a piece of.
  key.oaepLabel = undefined;
  return sealed;
}

/** What `pssSign` makes. @param spki DER SubjectPublicKeyInfo @throws {VaultError} `bad-key` */
export function pssVerifies(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== MODULUS_BYTES) return false;
  return verify("sha256", message, Object.assign(publicKeyOf(spki), PSS), signature);
}

/** Reading a key costs two thirds of using it, and whoever calls calls again; each takes 4 KiB. */
const KEYS_KEPT = 256;
/** By DER; the one used longest ago comes first. */
const keysRead = new Map<string, KeyObject>();

function publicKeyOf(spki: Uint8Array): KeyObject {
  const bytes = Buffer.from(spki);
  const der = bytes.toString("latin1");
  const key = keysRead.get(der) ?? readKey(() => readSpki(bytes));
  keysRead.delete(der);
  keysRead.set(der, key);
  if (keysRead.size > KEYS_KEPT) keysRead.delete(keysRead.keys().next().value!);
  return key;
}

export function oaepKey(privateKey: KeyObject): webcrypto.CryptoKey {
  return privateKey.toCryptoKey({ name: "RSA-OAEP", hash: "SHA-256" }, false, ["decrypt"]);
}

/** RSAES-OAEP, SHA-256, off the event loop. @returns undefined whatever the cause */
export async function oaepOpen(
  key: webcrypto.CryptoKey,
  label: Uint8Array,
  sealed: Uint8Array,
): Promise<Buffer | undefined> {
  if (sealed.length !== MODULUS_BYTES) return undefined;
  try {
    return Buffer.from(await subtle.decrypt({ name: "RSA-OAEP", label: Buffer.from(label) }, key, Buffer.from(sealed)));
  } catch {
    return undefined;
  }
}

/**
 * Reads a private key and tries it (seed 003: validate_key_pair, test_key_pair).
 *
 * @returns the key and its public half: canonical DER SubjectPublicKeyInfo
 * @throws {VaultError} `bad-key` for another algorithm, size or exponent, and for halves that do not belong together
 */
export async function checkedKey(read: () => KeyObject): Promise<{ privateKey: KeyObject; spki: Buffer }> {
  const privateKey = readKey(read);
  const publicKey = createPublicKey(privateKey);
  const trial = Buffer.from("feldfon/1 key pair trial\0");
  const signature = await pssSign(privateKey, trial).catch(() => Buffer.alloc(0));
  if (!verify("sha256", trial, { key: publicKey, ...PSS }, signature)) {
    throw new VaultError("bad-key", "a key pair came whose halves do not belong together");
  }
  return { privateKey, spki: publicKey.export({ type: "spki", format: "der" }) };
}

function readKey(read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch {
    // OpenSSL's reason is not kept: it may quote what was read.
    throw new VaultError("bad-key", "what came does not read as a key, RSA-4096 was expected");
  }
  const { modulusLength, publicExponent } = key.asymmetricKeyDetails ?? {};
  const fits =
    key.asymmetricKeyType === "rsa" && modulusLength === MODULUS_BITS && publicExponent === BigInt(PUBLIC_EXPONENT);
  if (!fits) throw new VaultError("bad-key", "another key than RSA-4096 with e = 65537 came");
  return key;
}

/** @throws {VaultError} `no-key`, `key-file-open` (others may read it), `bad-key` */
export async function readKeyFile(path: string): Promise<{ privateKey: KeyObject; spki: Buffer }> {
  const text = await readPrivately(path);
  try {
    return await checkedKey(() => {
      if (!text.toString("latin1").startsWith("-----BEGIN PRIVATE KEY-----")) throw new Error("not PKCS#8 in PEM");
      return createPrivateKey({ key: text, format: "pem" });
    });
  } finally {
    text.fill(0);
  }
}

export function pkcs8Of(privateKey: KeyObject): Buffer {
  return privateKey.export({ type: "pkcs8", format: "der" });
}

/** @param der PKCS#8, overwritten. @throws {VaultError} `bad-key` */
export async function readPkcs8(der: Buffer): Promise<{ privateKey: KeyObject; spki: Buffer }> {
  try {
    return await checkedKey(() => createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  } finally {
    der.fill(0);
  }
}

/** Saved whole or not at all. @throws {VaultError} `not-saved`; what was there before is still there */
export async function writeKeyFile(path: string, privateKey: KeyObject): Promise<void> {
  const pem = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }));
  await writeWhole(path, pem).finally(() => pem.fill(0));
}

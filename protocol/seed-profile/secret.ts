/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * The 48-byte secret (seed 000, connect 4; seed 003: generate_secret, extract_secret), as RSA carries it:
 *
 *     0              12              28                    60
 *     +--------------+---------------+---------------------+
 *     | +++secret+++ | iv ("seed")   | AES key             |
 *     +--------------+---------------+---------------------+
 *
 * The product never holds such a secret in JavaScript: the vault makes, wraps and opens it by handle.
 */
import { constants, createPublicKey, type KeyObject, privateDecrypt, publicEncrypt, randomBytes } from "node:crypto";
import { equalBytes } from "../bytes.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey } from "../identity.ts";

export const PREFIX = Buffer.from("+++secret+++", "ascii");
export const IV_BYTES = 16;
export const KEY_BYTES = 32;
export const SECRET_BYTES = IV_BYTES + KEY_BYTES;
export const BLOCK_BYTES = PREFIX.length + SECRET_BYTES;
export const WRAPPED_BYTES = 512;

export interface Secret {
  /** 16 bytes, the seed's "seed". */
  iv: Buffer;
  /** 32 bytes for AES-256. */
  key: Buffer;
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };

/**
 * 48 fresh bytes from two sources (seed 003: generate_secret). The origin took halves of each, so a weak disk made
 * half of the key guessable; one laid over the other is as good as the better of them.
 */
export function generateSecret(system: (bytes: number) => Buffer, disk: (bytes: number) => Buffer): Secret {
  const [a, b] = [system(SECRET_BYTES), disk(SECRET_BYTES)];
  if (a.length !== SECRET_BYTES || b.length !== SECRET_BYTES)
    throw unreadable("a source of randomness gave too little");
  return secretOf(a.map((byte, i) => byte ^ b[i]!) as Buffer);
}

/**
 * Randomness read from a device (seed 003: get_disk_entropy), from the system when that fails or gives too little.
 *
 * @param read for instance the first bytes of /dev/urandom; protocol opens no files itself
 */
export function diskEntropy(bytes: number, read: (bytes: number) => Buffer, fallback = randomBytes): Buffer {
  try {
    const found = read(bytes);
    if (found.length === bytes) return found;
  } catch {
    // No such device here: the fallback is the answer.
  }
  return fallback(bytes);
}

/** `+++secret+++` | iv | key. @returns 60 bytes */
export function secretBlock({ iv, key }: Secret): Buffer {
  return Buffer.concat([PREFIX, iv, key]);
}

/** @throws {ProtocolError} `unreadable` unless exactly the 12-byte prefix and 48 bytes came */
export function extractSecret(block: Uint8Array): Secret {
  if (block.length !== BLOCK_BYTES || !equalBytes(block.subarray(0, PREFIX.length), PREFIX)) {
    throw unreadable(`${block.length} bytes came, the prefix and ${SECRET_BYTES} bytes were expected`);
  }
  return secretOf(Buffer.from(block.subarray(PREFIX.length)));
}

/** RSAES-OAEP with SHA-256; the origin's PKCS#1 v1.5 is a padding oracle. @returns 512 bytes */
export function wrapSecret(secret: Secret, owner: PublicKey): Buffer {
  return publicEncrypt({ key: createPublicKey(owner.pem), ...OAEP }, secretBlock(secret));
}

/** @throws {ProtocolError} `unreadable`, the same for every cause */
export function unwrapSecret(wrapped: Uint8Array, owner: KeyObject): Secret {
  const refused = () => unreadable("a wrapped secret came that this key does not open");
  // OpenSSL would take one whose leading zeros are gone; RFC 8017 §7.1.2 (step 1) does not.
  if (wrapped.length !== WRAPPED_BYTES) throw refused();
  try {
    return extractSecret(privateDecrypt({ key: owner, ...OAEP }, wrapped));
  } catch {
    throw refused();
  }
}

/** What cannot be opened or is not in its form. Says nothing about where it failed. */
export function unreadable(sentence: string): ProtocolError {
  return new ProtocolError("unreadable", sentence);
}

function secretOf(bytes: Buffer): Secret {
  return { iv: bytes.subarray(0, IV_BYTES), key: bytes.subarray(IV_BYTES) };
}

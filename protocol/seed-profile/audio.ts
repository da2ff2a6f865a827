/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * AES-256-CBC and the dynamic padding of audio chunks (seed 003: generate_dynamic_padding, encrypt_audio_chunk).
 *
 *     +-------------------+--------------+------------------+
 *     | chunk             | L bytes of L | PKCS#7           |   L = (first byte of SHA3-256(key) mod 16) + 1
 *     +-------------------+--------------+------------------+
 *
 * L depends on the key alone, so it hides no length; and strict padding is no MAC: a changed block in the middle of a
 * chunk goes unnoticed (a test shows it). The product sends SRTP with AES-GCM, a fresh nonce and a replay window.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { sha3 } from "../crypto/transcript.ts";
import { type Secret, unreadable } from "./secret.ts";

/** @returns 1 .. 16 */
export function dynamicPaddingBytes(key: Uint8Array): number {
  return (sha3(key)[0]! % 16) + 1;
}

export function addDynamicPadding(data: Uint8Array, key: Uint8Array): Buffer {
  const bytes = dynamicPaddingBytes(key);
  return Buffer.concat([data, Buffer.alloc(bytes, bytes)]);
}

/** @throws {ProtocolError} `unreadable` unless every byte of the padding is what it has to be */
export function removeDynamicPadding(padded: Uint8Array, key: Uint8Array): Buffer {
  const bytes = dynamicPaddingBytes(key);
  const padding = padded.subarray(padded.length - bytes);
  if (padding.length !== bytes || padding.some((byte) => byte !== bytes))
    throw unreadable("the padding is not the key's");
  return Buffer.from(padded.subarray(0, padded.length - bytes));
}

/** AES-256-CBC with PKCS#7 (NIST SP 800-38A, RFC 5652 §6.3). */
export function encryptCbc(clear: Uint8Array, { iv, key }: Secret): Buffer {
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  return Buffer.concat([cipher.update(clear), cipher.final()]);
}

/** @throws {ProtocolError} `unreadable`; never tries again without padding, as the origin did */
export function decryptCbc(data: Uint8Array, { iv, key }: Secret): Buffer {
  try {
    const decipher = createDecipheriv("aes-256-cbc", key, iv);
    return Buffer.concat([decipher.update(data), decipher.final()]);
  } catch {
    throw unreadable(`${data.length} bytes came that do not open under this key`);
  }
}

export function encryptAudioChunk(chunk: Uint8Array, secret: Secret): Buffer {
  return encryptCbc(addDynamicPadding(chunk, secret.key), secret);
}

/** @throws {ProtocolError} `unreadable` */
export function decryptAudioChunk(data: Uint8Array, secret: Secret): Buffer {
  return removeDynamicPadding(decryptCbc(data, secret), secret.key);
}

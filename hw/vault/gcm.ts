/**
 * AES-256-GCM with a tag of 16 bytes behind the ciphertext (NIST SP 800-38D); HKDF and HMAC beside it.
 *
 * Every key goes into Node as a key object made for this one use: given bytes, Node 24 finds out that they are none by
 * throwing and catching twice, which costs more than the cipher.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync } from "node:crypto";

export const KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** key | iv (stream), master key | master salt (media) */
export const KEY_AND_IV_BYTES = KEY_BYTES + NONCE_BYTES;

/** @returns ciphertext | tag */
export function gcmSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, clear: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-256-gcm", createSecretKey(key), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  const sealed = cipher.update(clear);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

/** @returns undefined when the tag does not fit; nothing of the clear text is let out before */
export function gcmOpen(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Buffer | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", createSecretKey(key), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const clear = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    clear.fill(0);
    return undefined;
  }
  return clear;
}

/** HKDF-SHA-256 (RFC 5869), 1..8,160 bytes. */
export function hkdf(keyMaterial: Uint8Array, salt: Uint8Array, info: Uint8Array, lengthBytes: number): Buffer {
  return Buffer.from(hkdfSync("sha256", createSecretKey(keyMaterial), salt, info, lengthBytes));
}

/** HMAC-SHA-256 (RFC 2104). @returns 32 bytes */
export function hmac(key: Uint8Array, message: Uint8Array): Buffer {
  return createHmac("sha256", createSecretKey(key)).update(message).digest();
}

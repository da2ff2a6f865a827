/**
 * Transcripts, labels and the few forms in which keys are used; every use of a key has its own label (wire.md 1).
 *
 *     l                ASCII "feldfon/1 " + word
 *     T(l, a, b ..)    H(LP(l) | LP(a) | LP(b) ..), H = SHA3-256
 *     l | 00 | t       what is signed, MACed, given to OAEP as label and to HKDF as info
 */
import { createHash, hash } from "node:crypto";
import { concat, lp, u32 } from "../bytes.ts";
import type { PublicKey } from "../identity.ts";
import type { KeyPair, Slot, SlotUse, Vault } from "../vault.ts";

export const HASH_BYTES = 32;
export const SIGNATURE_BYTES = 512;
export const WRAP_BYTES = 512;
export const MAC_BYTES = 32;

/** SHA3-256 (FIPS 202), raw. */
export function sha3(...parts: Uint8Array[]): Buffer {
  if (parts.length === 1) return hash("sha3-256", parts[0]!, "buffer");
  const state = createHash("sha3-256");
  for (const part of parts) state.update(part);
  return state.digest();
}

/** l | 00 | t */
export function labelled(word: string, t: Uint8Array): Buffer {
  return concat(Buffer.from(`feldfon/1 ${word}\0`, "ascii"), t);
}

/** T(l, a, b ..): binds a purpose to its inputs, each with its length. @returns 32 bytes */
export function transcript(word: string, ...parts: Uint8Array[]): Buffer {
  const pieces: Uint8Array[] = [lp(Buffer.from(`feldfon/1 ${word}`, "ascii"))];
  for (const part of parts) pieces.push(u32(part.length), part);
  return hash("sha3-256", concat(...pieces), "buffer");
}

/** KDF(l, t, n; k..): HKDF-SHA-256, salt t, info l | 00 | t; slot to slot. */
export function kdf<Use extends Exclude<SlotUse, "wrap">>(
  vault: Vault,
  use: Use,
  word: string,
  t: Uint8Array,
  lengthBytes: number,
  ...keyMaterial: Slot<"derive">[]
): Slot<Use> {
  return vault.derive(use, lengthBytes, keyMaterial, t, labelled(word, t));
}

/** SIGN_X(l, t). @returns 512 bytes */
export function sign(vault: Vault, keyPair: KeyPair, word: string, t: Uint8Array): Promise<Buffer> {
  return vault.sign(keyPair, labelled(word, t));
}

export function signatureHolds(signer: PublicKey, word: string, t: Uint8Array, signature: Uint8Array): boolean {
  return signer.verifies(labelled(word, t), signature);
}

/** WRAP_X(l, t, s). @returns 512 bytes */
export function wrap(vault: Vault, owner: PublicKey, word: string, t: Uint8Array, secret: Slot<"wrap">): Buffer {
  return vault.wrap(owner.spki, labelled(word, t), secret);
}

export function unwrap(
  vault: Vault,
  owner: KeyPair,
  word: string,
  t: Uint8Array,
  wrapped: Uint8Array,
): Promise<Slot<"derive">> {
  return vault.unwrap(owner, labelled(word, t), wrapped);
}

/** MAC(l, t; k) */
export function mac(vault: Vault, key: Slot<"mac">, word: string, t: Uint8Array): Buffer {
  return vault.mac(key, labelled(word, t));
}

export function macHolds(vault: Vault, key: Slot<"mac">, word: string, t: Uint8Array, tag: Uint8Array): boolean {
  return vault.macMatches(key, labelled(word, t), tag);
}

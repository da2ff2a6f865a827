/**
 * Transcripts, labels and the few forms in which keys are used; every use of a key has its own label (wire.md 1).
 *
 *     l                ASCII "feldfon/1 " + word
 *     T(l, a, b ..)    H(LP(l) | LP(a) | LP(b) ..), H = SHA3-256
 *     l | 00 | t       what is signed, MACed, given to OAEP as label and to HKDF as info
 */
import { hash } from "node:crypto";
import { concat, putU32 } from "../bytes.ts";
import type { PublicKey } from "../identity.ts";
import type { KeyPair, Slot, SlotUse, Vault } from "../vault.ts";

export const HASH_BYTES = 32;
export const SIGNATURE_BYTES = 512;
export const WRAP_BYTES = 512;
export const MAC_BYTES = 32;
const LENGTH_BYTES = 4;

/** l by word: there are a few dozen words, and each is used again by every line. */
const labels = new Map<string, Buffer>();
const END_OF_LABEL = Buffer.of(0);

function labelOf(word: string): Buffer {
  const known = labels.get(word);
  if (known) return known;
  const label = Buffer.from(`feldfon/1 ${word}`, "ascii");
  labels.set(word, label);
  return label;
}

/** What is hashed is put together here: the same memory each time is in the processor's caches. */
const PLACE = Buffer.alloc(8_192);

function placeOf(bytes: number): Buffer {
  return bytes <= PLACE.length ? PLACE.subarray(0, bytes) : Buffer.allocUnsafe(bytes);
}

/** SHA3-256 (FIPS 202) of the parts, joined; raw. */
export function sha3(...parts: Uint8Array[]): Buffer {
  if (parts.length === 1) return hash("sha3-256", parts[0]!, "buffer");
  const place = placeOf(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    place.set(part, at);
    at += part.length;
  }
  return hash("sha3-256", place, "buffer");
}

/** l | 00 | t */
export function labelled(word: string, t: Uint8Array): Buffer {
  return concat(labelOf(word), END_OF_LABEL, t);
}

/** T(l, a, b ..): binds a purpose to its inputs, each with its length. @returns 32 bytes */
export function transcript(word: string, ...parts: Uint8Array[]): Buffer {
  const all = [labelOf(word), ...parts];
  const place = placeOf(all.reduce((bytes, part) => bytes + LENGTH_BYTES + part.length, 0));
  let at = 0;
  for (const part of all) {
    putU32(place, part.length, at);
    place.set(part, at + LENGTH_BYTES);
    at += LENGTH_BYTES + part.length;
  }
  return hash("sha3-256", place, "buffer");
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

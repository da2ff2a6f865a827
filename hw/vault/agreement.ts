/** X25519 (RFC 7748) and ML-KEM-768 (FIPS 203) between raw bytes and Node's key objects. */
import {
  createPublicKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { readSpki } from "./spki.ts";

export type Algorithm = "x25519" | "ml-kem-768";

export const X25519_BYTES = 32;
export const ENCAPSULATION_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;

/** What stands before the raw key in DER (RFC 8410, RFC 9935), and how long that key is. */
const PUBLIC_FORM = {
  x25519: { head: Buffer.from("302a300506032b656e032100", "hex"), bytes: X25519_BYTES },
  "ml-kem-768": {
    head: Buffer.from("308204b2300b0609608648016503040402038204a100", "hex"),
    bytes: ENCAPSULATION_KEY_BYTES,
  },
};
export function generate(algorithm: Algorithm): { privateKey: KeyObject; publicKey: Buffer } {
  // Node's types do not know that one call takes both.
  const { privateKey, publicKey } =
    algorithm === "x25519" ? generateKeyPairSync("x25519") : generateKeyPairSync("ml-kem-768");
  return { privateKey, publicKey: rawBytesOf(publicKey) };
}

export function publicBytesOf(privateKey: KeyObject): Buffer {
  return rawBytesOf(createPublicKey(privateKey));
}

function rawBytesOf(publicKey: KeyObject): Buffer {
  // OpenSSL takes longer to write 44 bytes of DER than to make the key.
  if (publicKey.asymmetricKeyType === "x25519") return Buffer.from(publicKey.export({ format: "jwk" }).x!, "base64url");
  return publicKey.export({ type: "spki", format: "der" }).subarray(PUBLIC_FORM["ml-kem-768"].head.length);
}

/** @returns 32 bytes, undefined for a point that is no use (RFC 7748 §6.1) */
export function x25519(own: KeyObject, peerPublicKey: Uint8Array): Buffer | undefined {
  const peer = publicKeyOf("x25519", peerPublicKey);
  if (!peer) return undefined;
  try {
    return diffieHellman({ privateKey: own, publicKey: peer }); // throws when the result is all zero
  } catch {
    return undefined;
  }
}

/** @returns undefined for a key that FIPS 203 §7.2 refuses: OpenSSL checks length and every coefficient at reading */
export function mlKemEncapsulate(encapsulationKey: Uint8Array): { ciphertext: Buffer; sharedKey: Buffer } | undefined {
  const peer = publicKeyOf("ml-kem-768", encapsulationKey);
  return peer && encapsulate(peer);
}

/** @returns undefined for a wrong length; of a right length every ciphertext has a secret (FIPS 203 §7.3) */
export function mlKemDecapsulate(own: KeyObject, ciphertext: Uint8Array): Buffer | undefined {
  return ciphertext.length === CIPHERTEXT_BYTES ? decapsulate(own, ciphertext) : undefined;
}

function publicKeyOf(algorithm: Algorithm, bytes: Uint8Array): KeyObject | undefined {
  const form = PUBLIC_FORM[algorithm];
  if (bytes.length !== form.bytes) return undefined;
  try {
    return readSpki(Buffer.concat([form.head, bytes]));
  } catch {
    return undefined;
  }
}

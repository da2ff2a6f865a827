import { createPublicKey, type KeyObject } from "node:crypto";

/**
 * A public key from DER SubjectPublicKeyInfo; through PEM, which Node 24 reads in half the time: whether an object with
 * bytes in it is a key object already, it finds out by throwing and catching four times.
 *
 * @throws what OpenSSL says
 */
export function readSpki(der: Uint8Array): KeyObject {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  return createPublicKey(`-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`);
}

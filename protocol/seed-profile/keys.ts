/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * What the seed asks of keys beside directory/merkle.ts, which normalises, merges and shortens them.
 */
import { constants, createPublicKey, type KeyObject, privateDecrypt, publicEncrypt, randomBytes } from "node:crypto";
import { equalBytes } from "../bytes.ts";
import { ProtocolError } from "../errors.ts";
import { type PublicKey, readPublicKey } from "../identity.ts";

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };

/** Encrypts and decrypts once on trial (seed 003: validate_key_pair). */
export function validateKeyPair(privateKey: KeyObject, publicKey: PublicKey): boolean {
  const trial = randomBytes(32);
  try {
    const sealed = publicEncrypt({ key: createPublicKey(publicKey.pem), ...OAEP }, trial);
    return equalBytes(privateDecrypt({ key: privateKey, ...OAEP }, sealed), trial);
  } catch {
    return false;
  }
}

/** The same as an assertion (seed 003: test_key_pair). @throws {ProtocolError} `key-bad` */
export function testKeyPair(privateKey: KeyObject, publicKey: PublicKey): void {
  if (!validateKeyPair(privateKey, publicKey)) {
    throw new ProtocolError("key-bad", "the private and the public key are no pair");
  }
}

/** The origin looked for `MII` and a length above 100; this reads the key (seed 003: is_valid_public_key). */
export function isValidPublicKey(text: string): boolean {
  try {
    readPublicKey(text);
    return true;
  } catch {
    return false;
  }
}

/** The first PEM key in a message, in a header or in its body (seed 003: extract_public_key, extract_server_public_key). */
export function extractPublicKey(message: Uint8Array): PublicKey | undefined {
  const text = Buffer.from(message).toString("latin1");
  const pem = /-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----/.exec(text)?.[0];
  return pem !== undefined && isValidPublicKey(pem) ? readPublicKey(pem) : undefined;
}

/**
 * Length, first and last bytes of a public key (seed 003: debug_print_key). Its type lets no private key in; the origin
 * logged the beginnings of those as well.
 */
export function describeKey(kind: string, { pem }: PublicKey): string {
  const bytes = Buffer.from(pem, "ascii");
  const line = (where: string, part: Buffer) =>
    `${where} ${part.toString("hex")} ${part.toString("ascii").replace(/[^ -~]/g, ".")}`;
  return [
    `${kind}: ${bytes.length} bytes`,
    line("first", bytes.subarray(0, 32)),
    line("last", bytes.subarray(-32)),
  ].join("\n");
}

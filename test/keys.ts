/** RSA-4096 keys for tests: number n is the same key in every test and in every run on this machine. */
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { poolKey } from "../bench/key-pool.ts";

/** @returns path of a PKCS#8 PEM file of mode 0600, outside the tree */
export function keyPath(n: number): Promise<string> {
  return poolKey(n);
}

export async function testKeyPair(vault: Vault, n: number): Promise<KeyPair> {
  return vault.loadKeyPair(await keyPath(n));
}

/**
 * A ciphertext whose number is smaller than 2^4088, as one in 256 is. Without its zero it stays the same number, and
 * OpenSSL takes it, but RFC 8017 §7.1.2 (step 1) wants as many bytes as the modulus has.
 */
export function withZeroFirst(encrypt: () => Buffer): Buffer {
  for (;;) {
    const bytes = encrypt();
    if (bytes[0] === 0) return bytes;
  }
}

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

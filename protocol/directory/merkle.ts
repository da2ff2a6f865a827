/**
 * The root over all public keys that both displays show (seeds 000 and 003; research/seeds.md 2.3).
 *
 * The seeds know three definitions. A is our root of record, because seed 000 fixes the order by client id:
 *
 *     A   one leaf per normalised key in the order server, client 0, client 1, ..; leaf = node = SHA3-256 of UTF-8 text as
 *         64 hex digits; a node is the hash of both children's digits joined; an odd last node is doubled
 *     B   the keys in that order joined with `|||`, hashed once: a second value to check, never the root
 *     C   the keys sorted: two clients can be swapped unnoticed. Refused, so there is no code for it
 *
 * A alone cannot tell [a, b, c] from [a, b, c, c]: a key may come once, and the signed head counts the rows.
 */
import { hash } from "node:crypto";
import { ProtocolError } from "../errors.ts";
import { PairTree } from "./pair-tree.ts";

/** SHA3-256 of UTF-8 text as 64 lower-case hex digits (FIPS 202; seed 003: quantum_safe_hash). */
export function seedHash(text: string): string {
  return hash("sha3-256", text, "hex");
}

/**
 * What stands between the PEM markers, or all of a text without markers, less all white space (seed 003: normalize_key).
 *
 * @throws {ProtocolError} `key-bad` when that is not base64
 */
export function normalizeKey(text: string): string {
  const pem = /-----BEGIN PUBLIC KEY-----(.*)-----END PUBLIC KEY-----/s.exec(text);
  const key = (pem?.[1] ?? text).replace(/\s+/g, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key)) {
    throw new ProtocolError("key-bad", "a key came whose text is not base64 between its markers");
  }
  return key;
}

/** Normalised keys joined with `|||`, in the order given (seed 003: merge_public_keys). */
export function mergePublicKeys(keys: readonly string[]): string {
  return keys.join("|||");
}

/** For logs and displays: `MIICIjANBg..AwEAAQ==`; a text of 20 characters or fewer stays whole (seed 003: shorten_public_key). */
export function shortenPublicKey(key: string): string {
  return key.length <= 20 ? key : `${key.slice(0, 10)}..${key.slice(-8)}`;
}

/** Definition B: the check value over the merged keys. @returns 64 hex digits, nothing for no keys */
export function mergedRoot(keys: readonly string[]): string | undefined {
  return keys.length === 0 ? undefined : seedHash(mergePublicKeys(keys));
}

/**
 * Definition A from nothing but the normalised keys, in order server, client 0, client 1, ..
 *
 * @returns 64 hex digits, nothing for no keys. @throws {ProtocolError} `bad-row` when a key comes twice
 */
export function seedRoot(keys: readonly string[]): string | undefined {
  return SeedTree.of(keys).root();
}

/** Whether keys in PEM or plain text have this root; `false` for no keys and for texts that are none (seed 003: verify_merkle_integrity). */
export function keysHaveRoot(keys: readonly string[], root: string): boolean {
  try {
    return seedRoot(keys.map(normalizeKey)) === root.trim().toLowerCase();
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

/** Definition A, kept up to date: an append costs log2(n) hashes, a removal those to its right, both when the root is asked for. */
export class SeedTree {
  #tree = new PairTree<string>((left, right) => seedHash(left + (right ?? left)));
  #present = new Set<string>();

  static of(keys: Iterable<string>): SeedTree {
    const tree = new SeedTree();
    for (const key of keys) tree.append(key);
    return tree;
  }

  get size(): number {
    return this.#tree.size;
  }

  /** @param key normalised. @throws {ProtocolError} `bad-row` when the key is there already */
  append(key: string): void {
    const leaf = seedHash(key);
    if (this.#present.has(leaf)) throw new ProtocolError("bad-row", "a key came that is in the list already");
    this.#present.add(leaf);
    this.#tree.append(leaf);
  }

  /** Later keys move down by one. */
  removeAt(index: number): void {
    const leaf = this.#tree.removeAt(index);
    if (leaf !== undefined) this.#present.delete(leaf);
  }

  /** @returns 64 hex digits, nothing while empty */
  root(): string | undefined {
    return this.#tree.root();
  }

  clone(): SeedTree {
    const copy = new SeedTree();
    copy.#tree = this.#tree.clone();
    copy.#present = new Set(this.#present);
    return copy;
  }
}

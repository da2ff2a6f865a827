/**
 * M3: one server signature for all clients that wait for theirs, with each client's path to it (design 3).
 *
 *     M3   0             512     516    520                     1032
 *          +-------------+-------+------+-----------------------+
 *          | SIGN_S      | index | size | 16 x 32: path, zeros  |      u32, u32; path lowest first
 *          +-------------+-------+------+-----------------------+
 *
 *     tree   leaf H(00 | t2), t2 = T("m2", M1, M2), node H(01 | l | r), RFC 6962 §2.1 shape: pairs, an odd one goes up as it is
 *     SIGN   SIGN_S("m3", T("m3", u32 size, root)); size 1: root = leaf, no path
 */
import { ByteReader, u32 } from "../bytes.ts";
import { HASH_BYTES, SIGNATURE_BYTES, sha3, sign, signatureHolds, transcript } from "../crypto/transcript.ts";
import type { PublicKey } from "../identity.ts";
import type { KeyPair, Vault } from "../vault.ts";

export const MAX_BATCH = 65_536;
const PATH_ENTRIES = 16;
export const M3_BYTES = SIGNATURE_BYTES + 4 + 4 + PATH_ENTRIES * HASH_BYTES;

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** The tree's leaf for one client. @param t2 T("m2", M1, M2) @returns 32 bytes */
export function batchLeaf(t2: Uint8Array): Buffer {
  return sha3(LEAF, t2);
}

/**
 * Signs once for all leaves, off the event loop.
 *
 * @param leaves 1 .. 65,536, each from `batchLeaf`
 * @returns one M3 for each leaf, in their order
 */
export async function signBatch(vault: Vault, keyPair: KeyPair, leaves: readonly Buffer[]): Promise<Buffer[]> {
  if (leaves.length < 1 || leaves.length > MAX_BATCH) throw new RangeError(`a batch of ${leaves.length} leaves`);
  const levels: Buffer[][] = [[...leaves]];
  for (let level = levels[0]!; level.length > 1; level = levels.at(-1)!) levels.push(parents(level));
  const size = u32(leaves.length);
  const signature = await sign(vault, keyPair, "m3", transcript("m3", size, levels.at(-1)![0]!));
  return leaves.map((_, index) => {
    const m3 = Buffer.alloc(M3_BYTES);
    Buffer.concat([signature, u32(index), size, ...siblings(levels, index)]).copy(m3);
    return m3;
  });
}

/** Whether M3 carries the server's signature over this leaf, in its one form. */
export function checkM3(m3: Uint8Array, leaf: Uint8Array, serverKey: PublicKey): boolean {
  if (m3.length !== M3_BYTES) return false;
  const reader = new ByteReader(m3, "M3");
  const signature = reader.take(SIGNATURE_BYTES);
  const index = reader.u32();
  const size = reader.u32();
  if (size > MAX_BATCH || index >= size) return false; // Nothing is below a size of 0.
  const root = climb(leaf, index, size, () => reader.take(HASH_BYTES));
  if (reader.rest().some((byte) => byte !== 0)) return false;
  return signatureHolds(serverKey, "m3", transcript("m3", u32(size), root), signature);
}

/** From a leaf to its root, with as many siblings as the shape asks (RFC 9162 §2.1.3.2). */
function climb(leaf: Uint8Array, index: number, size: number, sibling: () => Buffer): Uint8Array {
  let hash = leaf;
  for (let at = index, last = size - 1; last > 0; at >>= 1, last >>= 1) {
    if (at % 2 === 1) hash = sha3(NODE, sibling(), hash);
    else if (at < last) hash = sha3(NODE, hash, sibling());
  }
  return hash;
}

function parents(level: readonly Buffer[]): Buffer[] {
  const above: Buffer[] = [];
  for (let left = 0; left < level.length; left += 2) {
    const right = level[left + 1];
    above.push(right ? sha3(NODE, level[left]!, right) : level[left]!);
  }
  return above;
}

/** The neighbour on each level that has one, lowest first. */
function siblings(levels: readonly Buffer[][], index: number): Buffer[] {
  return levels.flatMap((level, height) => level[(index >> height) ^ 1] ?? []);
}

/**
 * Trees in the shape of RFC 6962 §2.1, over SHA3-256: the log of all heads and the directory root (wire.md 1, DIRECTORY).
 *
 *     leaf   H(00 | data)         the prefix tells leaves from nodes: no list has the root of another
 *     node   H(01 | left | right) an odd last node is lifted up as it is, so [a, b, c] differs from [a, b, c, c]
 *     path   32-byte entries, lowest first, no count: index and size say how many there are
 */
import { equalBytes } from "../bytes.ts";
import { HASH_BYTES, sha3 } from "../crypto/transcript.ts";
import { PairTree } from "./pair-tree.ts";

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** "None": prev and log root of epoch 0, headhash of a handset that holds no head yet. */
export const NO_HASH: Readonly<Buffer> = Buffer.alloc(HASH_BYTES);

/** H(00 | data) */
export function leafHash(data: Uint8Array): Buffer {
  return sha3(LEAF, data);
}

/** H(01 | left | right) */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha3(NODE, left, right);
}

/** A tree of this shape; its leaves are leaf hashes. */
export function logTree(): PairTree<Buffer> {
  return new PairTree<Buffer>((left, right) => (right ? nodeHash(left, right) : left));
}

/** An append-only list of which every earlier state keeps its root and its paths. */
export class MerkleLog {
  readonly #tree = logTree();

  get size(): number {
    return this.#tree.size;
  }

  append(leafHash: Buffer): void {
    this.#tree.append(leafHash);
  }

  /** MTH(D[0..size)). @param size 0..this.size. @returns 32 bytes, zeros for size 0 */
  root(size = this.size): Buffer {
    if (!(size >= 0 && size <= this.size)) throw new RangeError(`root of ${size} leaves, ${this.size} are there`);
    return size === 0 ? Buffer.from(NO_HASH) : this.#rootOf(0, size);
  }

  /** PATH(index, D[0..size)). @returns entries of 32 bytes, lowest first */
  path(index: number, size = this.size): Buffer {
    if (!(index >= 0 && index < size && size <= this.size)) {
      throw new RangeError(`path of leaf ${index} among ${size}, ${this.size} are there`);
    }
    const entries: Buffer[] = [];
    let from = 0;
    let to = size;
    while (to - from > 1) {
      const middle = from + leftLeaves(to - from);
      if (index < middle) {
        entries.unshift(this.#rootOf(middle, to));
        to = middle;
      } else {
        entries.unshift(this.#rootOf(from, middle));
        from = middle;
      }
    }
    return Buffer.concat(entries);
  }

  /** Full subtrees are nodes of the whole tree, whatever came after them; only the right edge is hashed again. */
  #rootOf(from: number, to: number): Buffer {
    const leaves = to - from;
    const level = 31 - Math.clz32(leaves);
    if (leaves === 2 ** level) return this.#tree.node(level, from / leaves)!;
    const middle = from + leftLeaves(leaves);
    return nodeHash(this.#rootOf(from, middle), this.#rootOf(middle, to));
  }
}

/** The largest power of two below `leaves`. */
function leftLeaves(leaves: number): number {
  return 2 ** (31 - Math.clz32(leaves - 1));
}

/**
 * The root that a path leads to from one leaf (RFC 9162 §2.1.3.2).
 *
 * @returns nothing when index and size do not ask for exactly this many entries
 */
export function rootFromPath(leafHash: Uint8Array, index: number, size: number, path: Uint8Array): Buffer | undefined {
  if (!(index >= 0 && index < size)) return undefined;
  let root: Buffer = Buffer.from(leafHash);
  let at = 0;
  // Down the levels with the leaf's place and the last place; an odd last node has no entry on its level.
  for (let place = index, last = size - 1; last > 0; place = half(place), last = half(last)) {
    if (place % 2 === 0 && place === last) continue;
    const entry = path.subarray(at, at + HASH_BYTES);
    at += HASH_BYTES;
    root = place % 2 === 1 ? nodeHash(entry, root) : nodeHash(root, entry);
  }
  // A path that ended too early was read beyond its end, one with something left over was not read to it.
  return at === path.length ? root : undefined;
}

/** Epochs may pass 2^32, where `>> 1` would cut them. */
function half(place: number): number {
  return Math.floor(place / 2);
}

/** Whether `path` shows `leafHash` at `index` of the log of `size` leaves with this root; nothing when its length is wrong. */
export function pathShows(
  leafHash: Uint8Array,
  index: number,
  size: number,
  path: Uint8Array,
  root: Uint8Array,
): boolean | undefined {
  const reached = rootFromPath(leafHash, index, size, path);
  return reached && equalBytes(reached, root);
}

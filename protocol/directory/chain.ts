/**
 * How heads of one server hang together (design 4, Chain; wire.md 3, **Directory**).
 *
 *     head 7 <--prev-- head 8 <--prev-- head 9          next epoch: its prev is the hash of my head
 *       '------ leaf 7 of the log ------- log root      later epoch: a path shows my head's hash in its log
 */
import { equalBytes } from "../bytes.ts";
import { pathShows } from "./log.ts";
import { logLeaf, type SignedHead } from "./tree-head.ts";

/** Two heads that no honest server has both signed: one epoch and two hashes, or a next head that continues another one. */
export function contradict(a: SignedHead, b: SignedHead): boolean {
  const [older, newer] = a.head.epoch <= b.head.epoch ? [a, b] : [b, a];
  if (older.head.epoch === newer.head.epoch) return !equalBytes(older.hash, newer.hash);
  return older.head.epoch + 1 === newer.head.epoch && !equalBytes(newer.head.prev, older.hash);
}

/**
 * Whether the log of the newer head holds the older one.
 *
 * @param path entries of the older epoch in a log of as many leaves as the newer epoch's number
 * @returns "malformed" when the path is too long or too short, or nothing is older
 */
export function judgePath(older: SignedHead, newer: SignedHead, path: Uint8Array): "linked" | "unlinked" | "malformed" {
  const shown = pathShows(logLeaf(older), older.head.epoch, newer.head.epoch, path, newer.head.logRoot);
  if (shown === undefined) return "malformed";
  return shown && !contradict(older, newer) ? "linked" : "unlinked";
}

/**
 * The heads a handset has seen lately, from the server and from those it called, so that one lie told to two is noticed
 * by whoever hears both. Bounded: the lowest epochs are forgotten first.
 */
export class HeadWitness {
  readonly #heads = new Map<number, SignedHead>();
  readonly #capacity: number;

  constructor(capacity = 64) {
    this.#capacity = capacity;
  }

  /** @returns a head seen before that the server should not have signed beside this one */
  contradicting(signed: SignedHead): SignedHead | undefined {
    const { epoch } = signed.head;
    return [epoch, epoch - 1, epoch + 1]
      .map((near) => this.#heads.get(near))
      .find((seen) => seen && contradict(seen, signed));
  }

  remember(signed: SignedHead): void {
    this.#heads.set(signed.head.epoch, signed);
    if (this.#heads.size > this.#capacity) this.#heads.delete(Math.min(...this.#heads.keys()));
  }
}

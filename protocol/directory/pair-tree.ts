/**
 * The one mechanism under all our hash trees: pairs joined level by level, leaves cached, only what changed is hashed.
 *
 *     level 2            n                  join(left, right)
 *     level 1      n           e            join(left, undefined) at an odd end: the trees differ only here,
 *     level 0   a     b     c               the seed's doubles the last node, RFC 6962 lifts it up as it is
 *
 * Changes only mark where they begin; the next look at a node hashes from there. So a window of any number of changes
 * costs at most one rebuild of the inner nodes, and an append log2(n) hashes (research/performance.md 2.3).
 */
export type Join<Node> = (left: Node, right: Node | undefined) => Node;

/** Leaves in order and the nodes over them, hashed when they are looked at. */
export class PairTree<Node> {
  readonly #join: Join<Node>;
  #levels: Node[][] = [[]];
  /** The first leaf whose ancestors are not hashed yet. */
  #staleFrom: number | undefined;

  constructor(join: Join<Node>) {
    this.#join = join;
  }

  get size(): number {
    return this.#leaves.length;
  }

  leaf(index: number): Node | undefined {
    return this.#leaves[index];
  }

  append(leaf: Node): void {
    this.#touch(this.#leaves.push(leaf) - 1);
  }

  /** Later leaves move down by one. */
  removeAt(index: number): Node | undefined {
    const [removed] = this.#leaves.splice(index, 1);
    this.#touch(index);
    return removed;
  }

  /** @returns nothing while the tree is empty */
  root(): Node | undefined {
    return this.node(this.#refreshed().length - 1, 0);
  }

  /** @param level 0 = leaves; node i of level k stands over leaves i * 2^k up to (i + 1) * 2^k - 1 */
  node(level: number, index: number): Node | undefined {
    return this.#refreshed()[level]?.[index];
  }

  /** Copies references, not nodes: two trees that go their own ways from here. */
  clone(): PairTree<Node> {
    const copy = new PairTree(this.#join);
    copy.#levels = this.#levels.map((level) => level.slice());
    copy.#staleFrom = this.#staleFrom;
    return copy;
  }

  get #leaves(): Node[] {
    return this.#levels[0]!;
  }

  #touch(index: number): void {
    this.#staleFrom = Math.min(this.#staleFrom ?? index, index);
  }

  #refreshed(): Node[][] {
    if (this.#staleFrom === undefined) return this.#levels;
    let from = this.#staleFrom;
    let level = 0;
    for (let below = this.#leaves; below.length > 1; below = this.#levels[++level]!) {
      // Node `from` is the first that changed or vanished; either way nothing left of its parent did.
      from >>= 1;
      this.#levels[level + 1] ??= [];
      const above = this.#levels[level + 1]!;
      above.length = Math.min(above.length, (below.length + 1) >> 1);
      for (let at = from; at * 2 < below.length; at++) above[at] = this.#join(below[at * 2]!, below[at * 2 + 1]);
    }
    this.#levels.length = level + 1;
    this.#staleFrom = undefined;
    return this.#levels;
  }
}

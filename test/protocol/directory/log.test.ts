import assert from "node:assert/strict";
import { leafHash, logTree, MerkleLog, nodeHash, pathShows, rootFromPath } from "@feldfon/protocol/directory/log";
import fc from "fast-check";

/** RFC 6962 §2.1, word for word, over data that is hashed already. */
function plainRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return nodeHash(plainRoot(leaves.slice(0, k)), plainRoot(leaves.slice(k)));
}

/** RFC 6962 §2.1.1. */
function plainPath(index: number, leaves: readonly Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...plainPath(index, leaves.slice(0, k)), plainRoot(leaves.slice(k))]
    : [...plainPath(index - k, leaves.slice(k)), plainRoot(leaves.slice(0, k))];
}

function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

const leaf = (n: number) => leafHash(Buffer.of(n >> 8, n & 255));
const leavesOf = (n: number) => Array.from({ length: n }, (_, i) => leaf(i));

function logOf(n: number): MerkleLog {
  const log = new MerkleLog();
  for (const one of leavesOf(n)) log.append(one);
  return log;
}

const sizeAndIndex = fc.integer({ min: 1, max: 70 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));

describe("Directory: the log of heads", () => {
  it("has the root of RFC 6962 at every size it ever had", () => {
    const log = logOf(70);
    for (let size = 1; size <= 70; size++) assert.deepEqual(log.root(size), plainRoot(leavesOf(size)));
    assert.deepEqual(log.root(), log.root(70));
  });

  it("has 32 zeros for a root while no head is in it", () => {
    assert.deepEqual(new MerkleLog().root(), Buffer.alloc(32));
    assert.deepEqual(logOf(3).root(0), Buffer.alloc(32));
  });

  it("gives the path of RFC 6962 for every leaf at every size, and the path leads to the root", () => {
    const log = logOf(70);
    fc.assert(
      fc.property(sizeAndIndex, ([size, index]) => {
        const path = log.path(index, size);
        assert.deepEqual(path, Buffer.concat(plainPath(index, leavesOf(size))));
        assert.deepEqual(rootFromPath(leaf(index), index, size, path), log.root(size));
      }),
      { numRuns: 500 },
    );
  });

  it("refuses paths and roots of leaves it does not have", () => {
    const log = logOf(3);
    for (const [index, size] of [
      [3, 3],
      [0, 4],
      [-1, 3],
      [0, 0],
      [Number.NaN, 3],
    ] as const) {
      assert.throws(() => log.path(index, size), RangeError);
    }
    for (const size of [-1, 4, Number.NaN]) assert.throws(() => log.root(size), RangeError);
  });

  it("leads nowhere by a path that is too long, too short or cut", () => {
    const log = logOf(70);
    fc.assert(
      fc.property(sizeAndIndex, ([size, index]) => {
        const path = log.path(index, size);
        const wrong: Buffer[] = [Buffer.concat([path, Buffer.alloc(32)]), Buffer.concat([path, Buffer.alloc(1)])];
        if (path.length > 0) wrong.push(path.subarray(32), path.subarray(1));
        for (const one of wrong) assert.equal(rootFromPath(leaf(index), index, size, one), undefined);
      }),
    );
    assert.equal(rootFromPath(leaf(3), 3, 3, log.path(0, 3)), undefined);
    assert.equal(rootFromPath(leaf(0), -1, 3, log.path(0, 3)), undefined);
  });

  it("shows no other leaf, no other place and no turned bit by a path", () => {
    const log = logOf(70);
    fc.assert(
      fc.property(sizeAndIndex, fc.nat(), fc.nat(7), ([size, index], at, bit) => {
        const path = log.path(index, size);
        const root = log.root(size);
        assert.equal(pathShows(leaf(index), index, size, path, root), true);
        assert.equal(pathShows(leaf(index + 1), index, size, path, root), false);
        if (path.length === 0) return;
        path[at % path.length]! ^= 1 << bit;
        assert.equal(pathShows(leaf(index), index, size, path, root), false);
      }),
    );
  });

  it("finds its way in logs of more than 2^32 heads", () => {
    const size = 2 ** 33 + 1;
    const entry = leaf(1);
    assert.deepEqual(rootFromPath(leaf(0), size - 1, size, entry), nodeHash(entry, leaf(0)));
    assert.notEqual(rootFromPath(leaf(0), 0, size, Buffer.alloc(32 * 34)), undefined);
    assert.equal(rootFromPath(leaf(0), 0, size, Buffer.alloc(32 * 33)), undefined);
  });
});

describe("Directory: the tree over the rows", () => {
  it("has the root of RFC 6962 after any joins and leaves", () => {
    const changes = fc.array(fc.record({ leaves: fc.boolean(), at: fc.nat(), look: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), changes, (size, steps) => {
        const leaves = leavesOf(size);
        const tree = logTree();
        for (const one of leaves) tree.append(one);
        steps.forEach(({ leaves: gone, at, look }, n) => {
          if (gone && leaves.length > 1) {
            const index = at % leaves.length;
            assert.deepEqual(tree.removeAt(index), leaves.splice(index, 1)[0]);
          } else {
            leaves.push(leaf(1000 + n));
            tree.append(leaf(1000 + n));
          }
          if (look) assert.deepEqual(tree.root(), plainRoot(leaves));
        });
        assert.deepEqual(tree.root(), plainRoot(leaves));
      }),
      { numRuns: 200 },
    );
  });

  it("tells [a, b, c] from [a, b, c, c]", () => {
    const [a, b, c] = leavesOf(3) as [Buffer, Buffer, Buffer];
    assert.notDeepEqual(plainRoot([a, b, c]), plainRoot([a, b, c, c]));
  });

  it("cannot pass a node off as a leaf", () => {
    const [a, b] = leavesOf(2) as [Buffer, Buffer];
    assert.notDeepEqual(leafHash(Buffer.concat([a, b])), nodeHash(a, b));
  });
});

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import * as merkle from "@feldfon/protocol/directory/merkle";
import {
  keysHaveRoot,
  mergedRoot,
  mergePublicKeys,
  normalizeKey,
  SeedTree,
  seedHash,
  seedRoot,
  shortenPublicKey,
} from "@feldfon/protocol/directory/merkle";
import fc from "fast-check";
import { withCode } from "./two-ends.ts";

interface Vectors {
  sha3: { text: string; digits: string }[];
  roots: { keys: string[]; A: string; B: string; C: string }[];
  threeKeys: { leaves: string[]; node01: string; node22: string };
}
const vectors: Vectors = JSON.parse(readFileSync(new URL("../../vectors/merkle.json", import.meta.url), "utf8"));

/** Definition A once more, level by level, in its plainest words. */
function plainRoot(keys: readonly string[]): string | undefined {
  let level = keys.map(seedHash);
  while (level.length > 1) {
    if (level.length % 2 === 1) level.push(level.at(-1)!);
    level = Array.from({ length: level.length / 2 }, (_, i) => seedHash(level[2 * i]! + level[2 * i + 1]!));
  }
  return level[0];
}

/** Definition C: what the origin's later revisions computed. */
function sortedRoot(keys: readonly string[]): string {
  return seedHash([...new Set(keys)].sort().join("|||"));
}

const distinctKeys = fc.uniqueArray(fc.base64String({ minLength: 4, maxLength: 24 }), { minLength: 1, maxLength: 40 });

describe("Directory: the seed's root", () => {
  for (const { text, digits } of vectors.sha3) {
    it(`hashes ${JSON.stringify(text)} to 64 digits`, () => assert.equal(seedHash(text), digits));
  }

  vectors.roots.forEach(({ keys, A, B }, n) => {
    it(`is definition A in vector ${n}, ${keys.length} keys, and keeps B as the merged check value`, () => {
      assert.equal(seedRoot(keys), A);
      assert.equal(mergedRoot(keys), B);
    });
  });

  it("joins the digits of both children, and doubles an odd last one", () => {
    const { leaves, node01, node22 } = vectors.threeKeys;
    assert.deepEqual(vectors.roots.find(({ keys }) => keys.length === 3)!.keys.map(seedHash), leaves);
    assert.equal(seedHash(leaves[0]! + leaves[1]!), node01);
    assert.equal(seedHash(leaves[2]! + leaves[2]!), node22);
    assert.equal(seedHash(node01 + node22), vectors.roots.find(({ keys }) => keys.length === 3)!.A);
  });

  it("has none without keys", () => {
    assert.equal(seedRoot([]), undefined);
    assert.equal(mergedRoot([]), undefined);
    assert.equal(new SeedTree().root(), undefined);
  });

  it("shows that two clients were swapped, which definition C hides", () => {
    const inOrder = vectors.roots.find(({ keys }) => keys.length === 3)!;
    const swapped = vectors.roots.at(-1)!;
    assert.deepEqual(swapped.keys.toSorted(), inOrder.keys.toSorted());
    assert.equal(sortedRoot(swapped.keys), sortedRoot(inOrder.keys));
    assert.equal(sortedRoot(inOrder.keys), inOrder.C);
    assert.notEqual(seedRoot(swapped.keys), seedRoot(inOrder.keys));
    assert.notEqual(mergedRoot(swapped.keys), mergedRoot(inOrder.keys));
  });

  it("is never definition C: nothing exported computes it, and its root is refused", () => {
    for (const { keys, C } of vectors.roots.filter(({ keys }) => keys.length > 1)) {
      for (const value of Object.values(merkle)) {
        if (typeof value !== "function" || value === SeedTree) continue;
        let result: unknown;
        try {
          result = (value as (keys: string[], root: string) => unknown)(keys, C);
        } catch {
          continue; // takes one text, not a list
        }
        assert.ok(result !== C && result !== true, value.name);
      }
    }
  });

  it("is the same for [a, b, c] and [a, b, c, c], so a key that comes twice is refused", () => {
    const keys = vectors.roots.find(({ keys }) => keys.length === 3)!.keys;
    const doubled = [...keys, keys[2]!];
    assert.equal(plainRoot(doubled), plainRoot(keys));
    assert.throws(() => seedRoot(doubled), withCode("bad-row"));
    const tree = SeedTree.of(keys);
    assert.throws(() => tree.append(keys[0]!), withCode("bad-row"));
    assert.equal(tree.root(), seedRoot(keys));
    assert.equal(tree.size, 3);
  });

  it("is taken from PEM or plain text, and compared without case and white space", () => {
    const pems = [1, 2].map(() => {
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      return publicKey.export({ type: "spki", format: "pem" }) as string;
    });
    const root = seedRoot(pems.map(normalizeKey))!;
    assert.ok(keysHaveRoot(pems, ` ${root.toUpperCase()}\n`));
    assert.ok(keysHaveRoot(pems.map(normalizeKey), root));
    assert.ok(!keysHaveRoot(pems.toReversed(), root));
    assert.ok(!keysHaveRoot([...pems, pems[1]!], root));
    assert.ok(!keysHaveRoot([], root));
    assert.ok(!keysHaveRoot(["-----BEGIN PUBLIC KEY-----\n?\n-----END PUBLIC KEY-----"], root));
    assert.ok(!keysHaveRoot(pems, ""));
  });
});

describe("Directory: key texts", () => {
  it("are what stands between the markers, without any white space", () => {
    assert.equal(
      normalizeKey("x\n-----BEGIN PUBLIC KEY-----\r\nMIIS ERVER\n\tKEY==\n-----END PUBLIC KEY-----\n"),
      "MIISERVERKEY==",
    );
    assert.equal(normalizeKey(" MIISERVER\nKEY== "), "MIISERVERKEY==");
  });

  for (const text of [
    "",
    "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    "MIIA|||MIIB",
    "MII===",
    "schlüssel",
  ]) {
    it(`are refused when they are none: ${JSON.stringify(text)}`, () => {
      assert.throws(() => normalizeKey(text), withCode("key-bad"));
    });
  }

  it("are merged by |||", () => assert.equal(mergePublicKeys(["a", "b", "c"]), "a|||b|||c"));

  it("are short in logs", () => {
    const key = `MIICIjANBg${"x".repeat(700)}AwEAAQ==`;
    assert.equal(shortenPublicKey(key), "MIICIjANBg..AwEAAQ==");
    assert.equal(shortenPublicKey("MIISERVERKEY=="), "MIISERVERKEY==");
  });
});

describe("Directory: the incremental seed tree", () => {
  it("has the root of a rebuild after any joins and leaves, looked at or not in between", () => {
    const changes = fc.array(fc.record({ leaves: fc.boolean(), at: fc.nat(), look: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(distinctKeys, changes, (start, steps) => {
        const keys = [...start];
        const tree = SeedTree.of(keys);
        steps.forEach(({ leaves, at, look }, n) => {
          if (leaves && keys.length > 0) {
            keys.splice(at % keys.length, 1);
            tree.removeAt(at % (keys.length + 1));
          } else {
            keys.push(`new ${n}`);
            tree.append(`new ${n}`);
          }
          if (look) assert.equal(tree.root(), plainRoot(keys));
        });
        assert.equal(tree.root(), plainRoot(keys));
        assert.equal(tree.size, keys.length);
      }),
      { numRuns: 200 },
    );
  });

  it("goes its own way after it was cloned", () => {
    fc.assert(
      fc.property(distinctKeys, fc.boolean(), (keys, looked) => {
        const tree = SeedTree.of(keys);
        if (looked) tree.root();
        const copy = tree.clone();
        copy.append("one more");
        tree.removeAt(0);
        assert.equal(copy.root(), plainRoot([...keys, "one more"]));
        assert.equal(tree.root(), plainRoot(keys.slice(1)));
        tree.append(keys[0]!); // gone here, so it may come again
        assert.throws(() => copy.append(keys[0]!), withCode("bad-row"));
      }),
    );
  });
});

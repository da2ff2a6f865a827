import assert from "node:assert/strict";
import { batchLeaf, checkM3, M3_BYTES, MAX_BATCH, signBatch } from "@feldfon/protocol/channel/batch";
import { sha3, sign, signatureHolds, transcript } from "@feldfon/protocol/crypto/transcript";
import fc from "fast-check";
import { type End, end, flipped } from "./ends.ts";

const leavesOf = (size: number) => Array.from({ length: size }, (_, n) => sha3(Buffer.from(`leaf ${n} of ${size}`)));
const node = (left: Buffer, right: Buffer) => sha3(Buffer.of(1), left, right);
const pathOf = (m3: Buffer) => m3.subarray(520);

/** RFC 6962 §2.1: the definition by halves, which the code under test does not use. */
function root(leaves: Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0]!;
  const half = halfOf(leaves.length);
  return node(root(leaves.slice(0, half)), root(leaves.slice(half)));
}

/** RFC 6962 §2.1.1, lowest first. */
function path(index: number, leaves: Buffer[]): Buffer[] {
  if (leaves.length === 1) return [];
  const half = halfOf(leaves.length);
  const [left, right] = [leaves.slice(0, half), leaves.slice(half)];
  return index < half ? [...path(index, left), root(right)] : [...path(index - half, right), root(left)];
}

/** The largest power of two below n. */
function halfOf(n: number): number {
  return 2 ** Math.floor(Math.log2(n - 1));
}

describe("Channel: one signature for a batch (M3)", () => {
  let server: End;
  let other: End;
  before(async () => {
    server = await end(1);
    other = await end(2);
  });

  for (const size of [1, 2, 3, 5, 64]) {
    it(`holds for each of ${size} clients, for its own leaf and no other`, async () => {
      const leaves = leavesOf(size);
      const m3s = await signBatch(server.vault, server.keyPair, leaves);
      assert.equal(m3s.length, size);
      for (const [index, m3] of m3s.entries()) {
        assert.equal(m3.length, M3_BYTES);
        assert.deepEqual([m3.readUInt32BE(512), m3.readUInt32BE(516)], [index, size]);
        for (const [leafIndex, leaf] of leaves.entries()) {
          assert.equal(checkM3(m3, leaf, server.key), leafIndex === index, `M3 ${index} for leaf ${leafIndex}`);
        }
        assert.equal(checkM3(m3, leaves[index]!, other.key), false, "another server's key");
      }
    });
  }

  it("signs the root of RFC 6962's tree together with its size", async () => {
    const leaves = leavesOf(5);
    const [m3] = await signBatch(server.vault, server.keyPair, leaves);
    const signed = transcript("m3", Buffer.from([0, 0, 0, 5]), root(leaves));
    assert.ok(signatureHolds(server.key, "m3", signed, m3!.subarray(0, 512)));
  });

  it("gives each client RFC 6962's path and zeros behind it, whatever the size", async () => {
    const { vault, keyPair } = server;
    const unsigned = Object.assign(Object.create(vault) as typeof vault, { sign: async () => Buffer.alloc(512) });
    const sizes = fc.integer({ min: 1, max: 300 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));
    await fc.assert(
      fc.asyncProperty(sizes, async ([size, index]) => {
        const leaves = leavesOf(size);
        const m3 = (await signBatch(unsigned, keyPair, leaves))[index]!;
        const entries = path(index, leaves);
        assert.deepEqual(pathOf(m3), Buffer.concat([...entries, Buffer.alloc(512)], 512));
      }),
      { numRuns: 60 },
    );
  });

  it("takes 65,536 clients at once, and not one more", async () => {
    const leaves = leavesOf(MAX_BATCH);
    const m3s = await signBatch(server.vault, server.keyPair, leaves);
    for (const index of [0, 1, 40_000, MAX_BATCH - 1]) assert.ok(checkM3(m3s[index]!, leaves[index]!, server.key));
    await assert.rejects(signBatch(server.vault, server.keyPair, [...leaves, leaves[0]!]), RangeError);
    await assert.rejects(signBatch(server.vault, server.keyPair, []), RangeError);
  });

  it("is refused with any byte changed, in the path of zeros too", async () => {
    const leaves = leavesOf(5);
    const m3s = await signBatch(server.vault, server.keyPair, leaves);
    for (const index of [0, 4]) {
      const m3 = m3s[index]!;
      assert.ok(checkM3(m3, leaves[index]!, server.key));
      for (let at = 0; at < m3.length; at++) {
        assert.equal(checkM3(flipped(m3, at), leaves[index]!, server.key), false, `byte ${at} of M3 ${index}`);
      }
    }
  });

  it("is refused with another index or another size", async () => {
    const leaves = leavesOf(6);
    const m3s = await signBatch(server.vault, server.keyPair, leaves);
    for (const [index, m3] of m3s.entries()) {
      for (let wrong = 0; wrong <= 7; wrong++) {
        if (wrong !== index) assert.equal(checkM3(withU32(m3, 512, wrong), leaves[index]!, server.key), false);
      }
      for (const wrong of [0, 1, 5, 7, 8, MAX_BATCH, MAX_BATCH + 1, 0xffff_ffff]) {
        assert.equal(checkM3(withU32(m3, 516, wrong), leaves[index]!, server.key), false);
      }
    }
  });

  it("is refused with an entry too many or too few", async () => {
    const leaves = leavesOf(5);
    const m3s = await signBatch(server.vault, server.keyPair, leaves);
    for (const [index, entries] of [3, 3, 3, 3, 1].entries()) {
      const m3 = m3s[index]!;
      const fewer = Buffer.from(m3);
      pathOf(fewer).fill(0, (entries - 1) * 32, entries * 32);
      const more = Buffer.from(m3);
      pathOf(more).fill(7, entries * 32, (entries + 1) * 32);
      assert.equal(checkM3(fewer, leaves[index]!, server.key), false);
      assert.equal(checkM3(more, leaves[index]!, server.key), false);
    }
  });

  it("is refused when its length is another", async () => {
    const [leaf] = leavesOf(1);
    const [m3] = await signBatch(server.vault, server.keyPair, [leaf!]);
    assert.equal(checkM3(m3!.subarray(0, -1), leaf!, server.key), false);
    assert.equal(checkM3(Buffer.concat([m3!, Buffer.of(0)]), leaf!, server.key), false);
  });

  it("refuses a size of 0 and of 65,537 even under the server's signature", async () => {
    const [leaf] = leavesOf(1);
    // The last of 65,537 leaves goes up as it is sixteen times and meets one neighbour, here zeros.
    const cases = [
      { size: 0, index: 0, root: leaf! },
      { size: MAX_BATCH + 1, index: MAX_BATCH, root: node(Buffer.alloc(32), leaf!) },
    ];
    for (const { size, index, root } of cases) {
      let m3 = withU32(withU32(Buffer.alloc(M3_BYTES), 512, index), 516, size);
      const signature = await sign(server.vault, server.keyPair, "m3", transcript("m3", m3.subarray(516, 520), root));
      m3 = Buffer.concat([signature, m3.subarray(512)]);
      assert.equal(checkM3(m3, leaf!, server.key), false, `size ${size}`);
    }
  });

  it("takes a leaf from what M1 and M2 say together", () => {
    const t2 = transcript("m2", Buffer.from("m1"), Buffer.from("m2"));
    assert.deepEqual(batchLeaf(t2), sha3(Buffer.concat([Buffer.of(0), t2])));
    assert.notDeepEqual(t2, transcript("m2", Buffer.from("m1m"), Buffer.from("2")));
  });
});

function withU32(m3: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(m3);
  copy.writeUInt32BE(value, at);
  return copy;
}

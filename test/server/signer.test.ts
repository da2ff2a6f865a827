import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { checkM3 } from "@feldfon/protocol/channel/batch";
import { ProtocolError, VaultError } from "@feldfon/protocol/errors";
import { PublicKey } from "@feldfon/protocol/identity";
import { BatchSigner, headSigner, MAX_WINDOW_MS, MOST_LEAVES } from "@feldfon/server/signer";
import { openVault } from "@feldfon/vault";
import { testKeyPair } from "../keys.ts";
import { ManualClock } from "./manual-clock.ts";

const leaf = (n: number) => createHash("sha3-256").update(`leaf ${n}`).digest();

describe("Batch signer", () => {
  const vault = openVault();

  /** Signs by counting. */
  async function counting(windowMs?: number) {
    const clock = new ManualClock();
    const batches: number[] = [];
    const signer = new BatchSigner({
      vault,
      keyPair: await testKeyPair(vault, 0),
      clock,
      ...(windowMs === undefined ? {} : { windowMs }),
      signLeaves: async (leaves) => {
        batches.push(leaves.length);
        return leaves.map((one) => Buffer.concat([one, Buffer.of(batches.length)]));
      },
    });
    return { clock, batches, signer };
  }

  it("gives each client a proof of its own that holds for the server's key, alone or among others", async () => {
    const keyPair = await testKeyPair(vault, 0);
    const signer = new BatchSigner({ vault, keyPair, windowMs: 5 });
    const serverKey = new PublicKey(keyPair.spki);
    const alone = await signer.sign(() => leaf(0));
    assert.equal(alone?.length, 1_032);
    assert.ok(checkM3(alone!, leaf(0), serverKey));
    const together = await Promise.all([1, 2, 3, 4, 5].map((n) => signer.sign(() => leaf(n))));
    for (const [at, m3] of together.entries()) {
      assert.ok(checkM3(m3!, leaf(at + 1), serverKey));
      assert.ok(!checkM3(m3!, leaf(at + 2), serverKey));
    }
    assert.deepEqual(new Set(together.map((m3) => m3!.toString("hex", 0, 512))).size, 1, "one signature for all");
    await signer.close();
  });

  it("signs at once when idle, then once a window", async () => {
    const { clock, batches, signer } = await counting();
    const first = signer.sign(() => leaf(0));
    await clock.settle();
    assert.deepEqual(await first, Buffer.concat([leaf(0), Buffer.of(1)]));
    const others = Array.from({ length: 12 }, (_, n) => signer.sign(() => leaf(n)));
    await clock.pass(MAX_WINDOW_MS - 1);
    assert.deepEqual(batches, [1]);
    assert.equal(signer.waiting, 12);
    await clock.pass(1);
    assert.deepEqual(batches, [1, 12]);
    assert.deepEqual(
      await Promise.all(others),
      others.map((_, n) => Buffer.concat([leaf(n), Buffer.of(2)])),
    );
  });

  it("lets nobody wait longer than 50 ms while few come, whatever it is told", async () => {
    const { clock, batches, signer } = await counting(10_000);
    signer.sign(() => leaf(0));
    await clock.settle();
    signer.sign(() => leaf(1));
    await clock.pass(MAX_WINDOW_MS);
    assert.deepEqual(batches, [1, 1]);
  });

  it("puts no more than 65,536 leaves into one tree", async () => {
    const { clock, batches, signer } = await counting();
    const one = leaf(0);
    for (let n = 0; n < MOST_LEAVES + 3; n++) signer.sign(() => one);
    await clock.pass(4 * MAX_WINDOW_MS);
    for (let turns = 0; batches.length < 2 && turns < MOST_LEAVES; turns++) await nextTurn();
    assert.deepEqual(batches, [MOST_LEAVES, 3]);
  });

  it("makes the leaves when they are signed, a few in each turn of the loop", async () => {
    const { clock, signer } = await counting();
    const made: number[] = [];
    const leafOf = (n: number) => () => {
      made.push(n);
      return leaf(n);
    };
    signer.sign(leafOf(0));
    await clock.settle();
    const others = Array.from({ length: 20 }, (_, n) => signer.sign(leafOf(n + 1)));
    await clock.pass(MAX_WINDOW_MS - 1);
    assert.deepEqual(made, [0]);
    const inEach: number[] = [];
    const watched = (async () => {
      for (let before = made.length; made.length < 21; before = made.length) {
        await nextTurn();
        inEach.push(made.length - before);
      }
    })();
    await clock.pass(1);
    await watched;
    await Promise.all(others);
    assert.deepEqual(
      made,
      Array.from({ length: 21 }, (_, n) => n),
    );
    assert.ok(Math.max(...inEach) <= 8, `in each turn: ${inEach}`);
  });

  it("tells a client alone what is wrong with it, and leaves out who has gone", async () => {
    const { clock, batches, signer } = await counting();
    const wrong = signer.sign(() => {
      throw new ProtocolError("key-bad", "no key");
    });
    const gone = signer.sign(() => undefined);
    const good = signer.sign(() => leaf(1));
    await assert.rejects(wrong, { code: "key-bad" });
    assert.equal(await gone, undefined);
    assert.deepEqual(await good, Buffer.concat([leaf(1), Buffer.of(1)]));
    assert.deepEqual(batches, [1]);
    const alone = signer.sign(() => undefined);
    await clock.pass(MAX_WINDOW_MS);
    assert.equal(await alone, undefined);
    assert.deepEqual(batches, [1], "nothing is signed for nobody");
  });

  it("tells everyone in the batch when the vault cannot sign, and goes on", async () => {
    let fails = true;
    const clock = new ManualClock();
    const signer = new BatchSigner({
      vault,
      keyPair: await testKeyPair(vault, 0),
      clock,
      signLeaves: async (leaves) => {
        if (fails) throw new VaultError("full", "no room");
        return leaves;
      },
    });
    const both = [signer.sign(() => leaf(1)), signer.sign(() => leaf(2))];
    for (const one of both) await assert.rejects(one, { code: "full" });
    fails = false;
    const next = signer.sign(() => leaf(3));
    await clock.pass(MAX_WINDOW_MS);
    assert.deepEqual(await next, leaf(3));
  });
});

describe("Head signer", () => {
  it("reads back what it has signed, and nothing else", async () => {
    const vault = openVault();
    const signer = headSigner(vault, await testKeyPair(vault, 0));
    const other = headSigner(vault, await testKeyPair(vault, 1));
    const zero = Buffer.alloc(32);
    const head = {
      server: signer.key.uid,
      epoch: 0,
      rows: 1,
      seedRoot: leaf(1),
      dirRoot: leaf(2),
      prev: zero,
      logRoot: zero,
      timeMs: 7,
    };
    const signed = await signer.sign(head);
    assert.deepEqual(signer.read(signed.bytes, signed.signature), signed);
    assert.throws(() => other.read(signed.bytes, signed.signature), { code: "unauthentic" });
    assert.throws(() => signer.read(signed.bytes, Buffer.alloc(512)), { code: "unauthentic" });
    const changed = Buffer.from(signed.bytes);
    changed[183]! ^= 1;
    assert.throws(() => signer.read(changed, signed.signature), { code: "unauthentic" });
  });
});

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Follower } from "@feldfon/protocol/directory/follower";
import { NO_HASH } from "@feldfon/protocol/directory/log";
import { readSignedHead } from "@feldfon/protocol/directory/tree-head";
import { openRegistry } from "@feldfon/server/registry";
import { headSigner } from "@feldfon/server/signer";
import { openStore } from "@feldfon/server/store";
import { openVault } from "@feldfon/vault";
import { testKeyPair } from "../keys.ts";
import { handsetKey } from "./handsets.ts";
import { ManualClock } from "./manual-clock.ts";

describe("Registry and handset: real signatures, real disk", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "feldfon-registry-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("convinces a handset at its first connect, by deltas, over a gap, and after both were away", async () => {
    const vault = openVault();
    const signer = headSigner(vault, await testKeyPair(vault, 0));
    const clock = new ManualClock();
    const open = async () => {
      const store = await openStore(join(folder, "directory.db"));
      return { store, registry: await openRegistry({ store, signer, clock }) };
    };
    const name = (n: number) => `handset ${n}`;
    let { store, registry } = await open();
    const join_ = async (n: number) => {
      // A drained window needs no time: signing and storing happen beside this clock.
      const joined = registry.join({ key: handsetKey(n), name: name(n), code: "" });
      const done = joined.then(() => true);
      while (!(await Promise.race([done, clock.pass(50).then(() => false)])));
      return joined;
    };

    await join_(1);
    await join_(2);
    const own = { uid: handsetKey(2).uid, name: name(2), key: handsetKey(2) };
    const follower = new Follower({ serverKey: signer.key, own });
    const first = registry.snapshot(0, NO_HASH);
    assert.deepEqual(follower.offer(Buffer.concat(first.step2)).signed.hash, first.view.signed.hash);
    follower.complete(first.step6);
    assert.equal(follower.ownId, 1);

    const before = follower.head!.head.epoch;
    await join_(3);
    const left = registry.leave(handsetKey(1).uid);
    await clock.pass(50);
    while (!(await Promise.race([left.then(() => true), clock.pass(50).then(() => false)])));
    const change = follower.applyDelta(registry.delta(before)!);
    assert.ok("joined" in change);
    assert.deepEqual(
      [change.joined, change.left].map((rows) => rows.map((row) => row.name)),
      [[name(3)], [name(1)]],
    );
    assert.equal(follower.ownId, 0);

    const kept = follower.head!;
    await join_(4);
    await join_(5);
    await registry.close();
    await store.close();
    ({ store, registry } = await open());
    assert.equal(registry.delta(kept.head.epoch), undefined, "the changes are forgotten, a snapshot is due");
    const nudge = registry.delta(registry.view().signed.head.epoch)!;
    assert.deepEqual(follower.applyDelta(nudge), { gap: true });
    const last = readSignedHead(kept.bytes, kept.signature, signer.key);
    const restarted = new Follower({ serverKey: signer.key, own, last });
    const again = registry.snapshot(last.head.epoch, last.hash);
    restarted.offer(Buffer.concat(again.step2));
    restarted.complete(again.step6);
    assert.deepEqual(
      restarted.rows.map((row) => row.name),
      ["server", name(2), name(3), name(4), name(5)],
    );
    await registry.close();
    await store.close();
  });
});

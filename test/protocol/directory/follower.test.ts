import assert from "node:assert/strict";
import { concat } from "@feldfon/protocol/bytes";
import { verifyEvidence } from "@feldfon/protocol/directory/evidence";
import type { Change, Follower } from "@feldfon/protocol/directory/follower";
import { logTree } from "@feldfon/protocol/directory/log";
import { seedHash } from "@feldfon/protocol/directory/merkle";
import { encodeStep6, leafOf, type Op, type Row, serverRow, step2Rows } from "@feldfon/protocol/directory/phonebook";
import { readSignedHead } from "@feldfon/protocol/directory/tree-head";
import fc from "fast-check";
import {
  connected,
  flips,
  follower,
  join,
  MEMBERS,
  makeKeys,
  member,
  NOTHING,
  ServerEnd,
  serverKey,
  stateOf,
  withCode,
} from "./two-ends.ts";

/** The seed's root over rows, in its plainest words. */
function plainSeedRoot(rows: readonly Row[]): string {
  let level = rows.map((row) => seedHash(row.key.spki.toString("base64")));
  while (level.length > 1) {
    if (level.length % 2 === 1) level.push(level.at(-1)!);
    level = Array.from({ length: level.length / 2 }, (_, i) => seedHash(level[2 * i]! + level[2 * i + 1]!));
  }
  return level[0]!;
}

/** Server with members 1, 2, 3 at epoch 2. */
async function threeAboard(): Promise<ServerEnd> {
  const server = await ServerEnd.start();
  await server.change(join(1), join(2));
  await server.change(join(3));
  return server;
}

function changeOf(result: Change | { gap: true }): Change {
  assert.ok(!("gap" in result), "a gap");
  return result;
}

const names = (rows: readonly Row[]) => rows.map((row) => row.name);

/** Refused with this code, and nothing has changed; a good delta is still taken afterwards by the caller. */
function refuses(handset: Follower, code: string, act: (handset: Follower) => unknown, what?: string): void {
  const before = stateOf(handset);
  assert.throws(() => act(handset), withCode(code), what);
  assert.deepEqual(stateOf(handset), before);
}

/** The evidence that an error carries. */
function evidenceOf(act: () => unknown): Buffer {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof Error && "evidence" in error && Buffer.isBuffer(error.evidence), String(error));
    return error.evidence;
  }
  assert.fail("nothing was refused");
}

/** A handset switched off at this epoch and on again: only the head is on its disk. */
function restarted(server: ServerEnd, n: number, epoch: number): Follower {
  const { bytes, signature } = server.heads[epoch]!;
  return follower(n, readSignedHead(Buffer.from(bytes), Buffer.from(signature), serverKey()));
}

describe("Handset's phonebook: connect", () => {
  before(makeKeys);

  it("holds what the server showed once step 6 is complete, and nothing before", async () => {
    const server = await threeAboard();
    const handset = follower(2);
    assert.deepEqual([handset.head, handset.last, handset.rows, handset.ownId], [undefined, undefined, [], undefined]);
    assert.deepEqual(handset.offer(server.step2()).signed.hash, server.head.hash);
    assert.deepEqual([handset.head, handset.last, handset.rows, handset.ownId], [undefined, undefined, [], undefined]);

    const change = handset.complete(server.step6());
    assert.deepEqual(handset.head?.hash, server.head.hash);
    assert.deepEqual(handset.last?.hash, server.head.hash);
    assert.deepEqual(names(handset.rows), ["server", "Handset 1", "Handset 2", "Handset 3"]);
    assert.equal(handset.ownId, 1);
    assert.deepEqual(names(change.joined), ["Handset 1", "Handset 3"]);
    assert.deepEqual([change.left, change.renamed, change.rekeyed], [[], [], []]);
    assert.deepEqual([change.ownIdBefore, change.ownIdAfter], [undefined, 1]);
    assert.deepEqual(change.head.hash, server.head.hash);
  });

  it("finds people by the digits of their id, and their ids by uid", async () => {
    const handset = connected(await threeAboard(), 2);
    assert.equal(handset.byDigits("0")?.uid, member(1).uid);
    assert.equal(handset.byDigits("2")?.uid, member(3).uid);
    assert.equal(handset.byDigits("002")?.uid, member(3).uid);
    assert.equal(handset.uidOfId(2), member(3).uid);
    assert.equal(handset.rowOf(member(3).uid)?.name, "Handset 3");
    for (const digits of ["3", "", "-1", "1.0", "1e0", "#", "99999999999999999999"]) {
      assert.equal(handset.byDigits(digits), undefined, digits);
    }
    for (const id of [-1, 3, 0.5, Number.NaN]) assert.equal(handset.uidOfId(id), undefined);
    assert.equal(handset.rowOf(member(4).uid), undefined);
  });

  it("recomputes the seed's root from the keys it holds", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    assert.deepEqual(handset.recomputeSeedRoot(), server.head.head.seedRoot);
    assert.equal(handset.recomputeSeedRoot().toString("hex"), plainSeedRoot(server.directory.rows));
    assert.throws(() => follower(1).recomputeSeedRoot(), withCode("out-of-order"));
  });

  it("wants step 2 before step 6, and one step 6 for each step 2", async () => {
    const server = await threeAboard();
    const handset = follower(1);
    refuses(handset, "out-of-order", () => handset.complete(server.step6()));
    handset.offer(server.step2());
    handset.complete(server.step6());
    refuses(handset, "out-of-order", () => handset.complete(server.step6()));
    handset.offer(server.step2());
    assert.throws(() => handset.complete(server.step6().subarray(1)));
    refuses(handset, "out-of-order", () => handset.complete(server.step6()));
  });

  it("forgets a good offer when a bad one follows", async () => {
    const server = await threeAboard();
    const handset = follower(1);
    handset.offer(server.step2());
    refuses(handset, "malformed", () => handset.offer(server.step2().subarray(1)));
    refuses(handset, "out-of-order", () => handset.complete(server.step6()));
  });

  it("forgets an offer when a delta overtakes it", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    await server.change(join(4));
    const [step2, step6] = [server.step2(2), server.step6()];
    await server.change(join(5));
    handset.offer(step2);
    handset.applyDelta(server.delta(2));
    refuses(handset, "out-of-order", () => handset.complete(step6));
  });

  it("takes epoch 0 of a server that has only just begun", async () => {
    const server = await ServerEnd.start();
    const handset = follower(1);
    refuses(handset, "not-in-list", () => handset.offer(server.step2()));
    await server.change(join(1));
    handset.offer(server.step2());
    assert.equal(handset.complete(server.step6()).ownIdAfter, 0);
  });

  it("is refused with any byte of step 2 turned, and nothing has changed", async () => {
    const server = await threeAboard();
    const [step2, step6] = [server.step2(), server.step6()];
    const handset = follower(2);
    const before = stateOf(handset);
    for (const { at, flipped } of flips(step2)) {
      assert.throws(() => handset.offer(flipped), withCode(...OFFER_CODES), `byte ${at}`);
      assert.deepEqual(stateOf(handset), before);
      assert.throws(() => handset.complete(step6), withCode("out-of-order"));
    }
    handset.offer(step2);
    handset.complete(step6);
  });

  it("is refused with any byte of step 2's log path turned", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    for (const n of [4, 5, 6, 7]) await server.change(join(n));
    const step2 = server.step2(2);
    const path = server.logPath(2);
    assert.ok(path.length >= 64);
    for (let at = step2.length - path.length - 4; at < step2.length; at++) {
      const flipped = Buffer.from(step2);
      flipped[at]! ^= 0x10;
      refuses(handset, at < step2.length - path.length ? "malformed" : "broken-chain", () => handset.offer(flipped));
    }
    handset.offer(step2);
    handset.complete(server.step6());
  });

  it("is refused with any byte of step 6 turned, and nothing has changed", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    await server.change(join(4, "Jörg"));
    const [step2, step6] = [server.step2(2), server.step6()];
    const before = stateOf(handset);
    for (const { at, flipped } of flips(step6)) {
      handset.offer(step2);
      assert.throws(() => handset.complete(flipped), withCode("malformed", "bad-row"), `byte ${at}`);
      assert.deepEqual(stateOf(handset), before);
    }
    handset.offer(step2);
    handset.complete(step6);
  });

  it("is refused when step 6 has other rows than step 2, or in another order", async () => {
    const server = await threeAboard();
    const handset = follower(1);
    const [first, ...others] = server.directory.rows as [Row, ...Row[]];
    const wrong: [string, Row[]][] = [
      ["malformed", []],
      ["malformed", [first, ...others.slice(1)]],
      ["malformed", [first, ...others, member(4)]],
      ["bad-row", [first, others[1]!, others[0]!, others[2]!]],
      ["bad-row", [others[0]!, first, others[1]!, others[2]!]],
      ["bad-row", [first, others[0]!, others[1]!, others[1]!]],
      ["bad-row", [{ ...first, name: "Server" }, ...others]],
      ["bad-row", [{ ...first, flags: 0 }, ...others]],
      ["bad-row", [first, { ...others[0]!, flags: 1 }, ...others.slice(1)]],
      ["bad-row", [first, { ...others[0]!, name: "Handset 9" }, ...others.slice(1)]],
    ];
    for (const [code, rows] of wrong) {
      handset.offer(server.step2());
      refuses(handset, code, () => handset.complete(encodeStep6(rows)));
    }
  });

  it("is refused when names are swapped under equal keys, though the seed's root is the same", async () => {
    const server = await ServerEnd.start();
    const liar = server.fork();
    await server.change(join(1), join(2, "Anna"), join(3, "Bert"));
    await liar.change(join(1), join(2, "Bert"), join(3, "Anna"));
    assert.deepEqual(liar.head.head.seedRoot, server.head.head.seedRoot);
    assert.notDeepEqual(liar.head.head.dirRoot, server.head.head.dirRoot);
    const handset = follower(1);
    handset.offer(server.step2());
    refuses(handset, "bad-row", () => handset.complete(liar.step6()));
    refuses(handset, "wrong-root", () => handset.offer(server.step2(undefined, { rows: step2Rows(liar.directory) })));
    refuses(handset, "two-heads", () => handset.offer(liar.step2()));
  });

  it("is refused when the list is not the one that was signed", async () => {
    const server = await threeAboard();
    const rows = step2Rows(server.directory);
    const [s, a, b, c] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
    const handset = follower(1);
    const wrong: [string, string, typeof rows][] = [
      ["nobody", "wrong-root", []],
      ["one less", "wrong-root", [s, a, b]],
      ["one more", "wrong-root", [...rows, { spki: member(4).key.spki, leaf: leafOf(member(4)) }]],
      ["two clients swapped", "wrong-root", [s, b, a, c]],
      ["the server last", "wrong-root", [a, b, c, s]],
      ["leaves swapped", "wrong-root", [s, { ...a, leaf: b.leaf }, { ...b, leaf: a.leaf }, c]],
      ["a key twice", "bad-row", [s, a, b, b]],
      ["a key that is none", "bad-row", [s, a, b, { ...c, spki: c.spki.subarray(2) }]],
    ];
    for (const [what, code, rows] of wrong) {
      refuses(handset, code, () => handset.offer(server.step2(undefined, { rows })), what);
    }
  });

  it("cannot be told [a, b, c] for [a, b, c, c], which have one seed root", async () => {
    const server = await ServerEnd.start();
    const liar = await ServerEnd.start();
    await server.change(join(1), join(2)); // with the server three keys
    const { rows } = server.directory;
    assert.equal(plainSeedRoot([...rows, rows[2]!]), plainSeedRoot(rows));
    await liar.changeAnd({ rows: 4 }, join(1), join(2));
    const handset = follower(1);
    refuses(handset, "wrong-root", () => handset.offer(liar.step2()));
    const four = [...step2Rows(liar.directory), step2Rows(liar.directory)[2]!];
    refuses(handset, "bad-row", () => handset.offer(liar.step2(undefined, { rows: four })));
  });

  it("is refused when either root is not the list's", async () => {
    for (const lie of [{ seedRoot: Buffer.alloc(32, 1) }, { dirRoot: Buffer.alloc(32, 1) }, { rows: 5 }]) {
      const server = await ServerEnd.start();
      await server.changeAnd(lie, join(1), join(2));
      const handset = follower(1);
      refuses(handset, "wrong-root", () => handset.offer(server.step2()));
    }
  });

  it("is refused without oneself, under another name, and with a leaf that is not one's own", async () => {
    const without = await threeAboard();
    refuses(follower(4), "not-in-list", (handset) => handset.offer(without.step2()));
    const renamed = await ServerEnd.start();
    await renamed.change(join(4, "Somebody"));
    refuses(follower(4), "not-in-list", (handset) => handset.offer(renamed.step2()));
  });

  it("is refused when the server in the list is not the pinned one", async () => {
    const stranger = await ServerEnd.stranger();
    await stranger.change(join(1));
    refuses(follower(1), "unauthentic", (handset) => handset.offer(stranger.step2()));
    // The right server's signature over a list that begins with another key.
    const server = await ServerEnd.start();
    await server.change();
    const { seedRoot, dirRoot } = stranger.head.head;
    await server.changeAnd({ seedRoot, dirRoot, rows: 2 });
    const lie = server.step2(undefined, { rows: step2Rows(stranger.directory) });
    refuses(follower(1), "server-not-in-list", (handset) => handset.offer(lie));
  });

  it("is refused when row 0 has the server's key and another leaf", async () => {
    const server = await ServerEnd.start();
    await server.change(join(1));
    const rows = step2Rows(server.directory);
    rows[0]!.leaf = leafOf({ ...serverRow(serverKey()), flags: 3 });
    const tree = logTree();
    for (const row of rows) tree.append(row.leaf);
    await server.changeAnd({ dirRoot: tree.root()! });
    refuses(follower(1), "server-not-in-list", (handset) => handset.offer(server.step2(undefined, { rows })));
  });

  for (const [what, name] of [
    ["a control character", "Be\u0007rt"],
    ["a bidi character", "Be\u202ert"],
    ["another form than NFC", "Jo\u0308rg"],
    ["one character", "B"],
    ["33 characters", "B".repeat(33)],
    ["the server's name", "SERVER"],
    ["a name that is there in another case", "HANDSET 1"],
    ["a space in front", " Bert"],
  ] as const) {
    it(`is refused when the server signed ${what} for somebody's name`, async () => {
      const server = await ServerEnd.start();
      const rows = [serverRow(serverKey()), member(1), member(2, name)];
      const tree = logTree();
      for (const row of rows) tree.append(leafOf(row));
      await server.changeAnd({ rows: 3, seedRoot: Buffer.from(plainSeedRoot(rows), "hex"), dirRoot: tree.root()! });
      const step2Of = rows.map((row) => ({ spki: row.key.spki, leaf: leafOf(row) }));
      const handset = follower(1);
      handset.offer(server.step2(undefined, { rows: step2Of }));
      refuses(handset, "bad-row", () => handset.complete(encodeStep6(rows)));
      // The same by a delta, to a handset that is aboard already.
      const aboard = await ServerEnd.start();
      await aboard.change(join(1));
      const other = connected(aboard, 1);
      await aboard.changeAnd({ rows: 3, seedRoot: Buffer.from(plainSeedRoot(rows), "hex"), dirRoot: tree.root()! });
      const ops: Op[] = [{ op: "append", row: member(2, name) }];
      refuses(other, "bad-row", () => other.applyDelta(aboard.delta(1, { ops })));
    });
  }
});

describe("Handset's phonebook: deltas", () => {
  before(makeKeys);

  it("say who joined, left and is called otherwise now, and which id is mine before and after", async () => {
    const server = await threeAboard();
    const handset = connected(server, 3);
    await server.change(server.leave(1), join(4));
    const change = changeOf(handset.applyDelta(server.delta(2)));
    assert.deepEqual(names(change.joined), ["Handset 4"]);
    assert.deepEqual(names(change.left), ["Handset 1"]);
    assert.deepEqual([change.ownIdBefore, change.ownIdAfter, handset.ownId], [2, 1, 1]);

    await server.change(server.leave(2), join(2, "Anna"));
    const renamed = changeOf(handset.applyDelta(server.delta(3)));
    assert.deepEqual([renamed.joined, renamed.left, renamed.rekeyed], [[], [], []]);
    assert.deepEqual(
      renamed.renamed.map(({ from, to }) => [from.name, to.name, from.uid === to.uid]),
      [["Handset 2", "Anna", true]],
    );
    assert.deepEqual(names(handset.rows), ["server", "Handset 3", "Handset 4", "Anna"]);
  });

  it("tell a name that has another key now from somebody new", async () => {
    const server = await threeAboard();
    const handset = connected(server, 3);
    await server.change(server.leave(1), join(4, "HANDSET 1"));
    const change = changeOf(handset.applyDelta(server.delta(2)));
    assert.deepEqual([change.joined, change.left, change.renamed], [[], [], []]);
    assert.deepEqual(
      change.rekeyed.map(({ from, to }) => [from.uid, to.uid]),
      [[member(1).uid, member(4).uid]],
    );
  });

  it("may carry several epochs at once, with the path of my last head", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    for (const n of [4, 5, 6]) await server.change(join(n));
    const change = changeOf(handset.applyDelta(server.delta(2)));
    assert.deepEqual(names(change.joined), ["Handset 4", "Handset 5", "Handset 6"]);
    assert.equal(handset.head?.head.epoch, 5);
  });

  it("may say nothing new at the epoch I hold", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    const before = stateOf(handset);
    const change = changeOf(handset.applyDelta(server.delta(2)));
    assert.deepEqual([change.joined, change.left, change.renamed, change.rekeyed], [[], [], [], []]);
    assert.deepEqual(stateOf(handset), before);
    refuses(handset, "malformed", () => handset.applyDelta(server.delta(2, { ops: [join(4)] })));
  });

  it("are the same head under another signature: nothing new, and no accusation", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    const again = await server.signAgain();
    assert.notDeepEqual(again.signature, server.head.signature);
    changeOf(handset.applyDelta(server.delta(2, { signed: again })));
    assert.equal(handset.judgePeerHead(again), "same");
  });

  it("ask for a snapshot when changes before them are missing, and the snapshot closes the gap", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    for (const n of [4, 5, 6, 7]) await server.change(join(n));
    const before = stateOf(handset);
    assert.deepEqual(handset.applyDelta(server.delta(4)), { gap: true });
    assert.deepEqual(handset.applyDelta(server.delta(6)), { gap: true });
    assert.deepEqual(stateOf(handset), before);
    handset.offer(server.step2(2));
    assert.deepEqual(
      names(handset.complete(server.step6()).joined),
      [4, 5, 6, 7].map((n) => `Handset ${n}`),
    );
    await server.change(server.leave(4));
    assert.deepEqual(names(changeOf(handset.applyDelta(server.delta(6))).left), ["Handset 4"]);
  });

  it("ask for a snapshot while there is no phonebook at all", async () => {
    const server = await threeAboard();
    assert.deepEqual(follower(1).applyDelta(server.delta(1)), { gap: true });
    assert.deepEqual(follower(1, server.head).applyDelta(server.delta(2)), { gap: true });
  });

  it("are refused with any byte turned, and the phonebook is what it was", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    await server.change(join(4));
    await server.change(server.leave(1), join(5, "Jörg"));
    const delta = server.delta(2);
    const before = stateOf(handset);
    let gaps = 0;
    for (const { at, flipped } of flips(delta)) {
      try {
        const result = handset.applyDelta(flipped);
        assert.ok("gap" in result && at < 8, `byte ${at}`); // only the epoch to start from is not signed
        gaps++;
      } catch (error) {
        assert.ok(withCode(...DELTA_CODES)(error), `byte ${at}: ${error}`);
      }
      assert.deepEqual(stateOf(handset), before);
    }
    assert.ok(gaps <= 1);
    changeOf(handset.applyDelta(delta));
    assert.deepEqual(handset.head?.hash, server.head.hash);
  });

  it("are refused when replayed, old or in the wrong order", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    await server.change(join(4));
    const first = server.delta(2);
    await server.change(join(5));
    const second = server.delta(3);
    assert.deepEqual(handset.applyDelta(second), { gap: true });
    handset.applyDelta(first);
    refuses(handset, "broken-chain", () => handset.applyDelta(first));
    handset.applyDelta(second);
    refuses(handset, "broken-chain", () => handset.applyDelta(second));
    refuses(handset, "epoch-back", () => handset.applyDelta(first));
    refuses(handset, "broken-chain", () => handset.applyDelta(server.delta(2)));
  });

  it("are refused when their changes do not lead to the signed roots", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    await server.change(join(4), join(5));
    const wrong: [string, Op[]][] = [
      ["wrong-root", []],
      ["wrong-root", [join(4)]],
      ["wrong-root", [join(5), join(4)]],
      ["wrong-root", [join(4), join(5), join(6)]],
      ["wrong-root", [join(4), join(5, "Bert")]],
      ["wrong-root", [{ op: "leave", index: 1 }, join(4), join(5)]],
      ["bad-row", [join(4), join(5), join(5)]],
      ["bad-row", [join(4), join(1)]],
      ["bad-row", [{ op: "leave", index: 0 }]],
      ["bad-row", [{ op: "leave", index: 4 }]],
      ["bad-row", [{ op: "append", row: { ...member(4), uid: member(5).uid } }]],
      ["bad-row", [{ op: "append", row: { ...member(4), flags: 1 } }]],
      ["bad-row", [{ op: "append", row: serverRow(serverKey()) }]],
    ];
    for (const [code, ops] of wrong) refuses(handset, code, () => handset.applyDelta(server.delta(2, { ops })));
    changeOf(handset.applyDelta(server.delta(2)));
  });

  it("are refused when they throw me out or call me otherwise", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    await server.change(server.leave(2));
    refuses(handset, "not-in-list", () => handset.applyDelta(server.delta(2)));
    await server.change(join(2, "Somebody"));
    refuses(handset, "not-in-list", () => handset.applyDelta(server.delta(2)));
  });

  it("may move me to the end of the list in one step", async () => {
    const server = await threeAboard();
    const handset = connected(server, 2);
    await server.change(server.leave(2), join(2));
    const change = changeOf(handset.applyDelta(server.delta(2)));
    assert.deepEqual([change.joined, change.left], [[], []]);
    assert.deepEqual([change.ownIdBefore, change.ownIdAfter], [1, 2]);
  });

  it("are refused under a signature that is not the server's", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    await server.change(join(4));
    const { signature } = (await ServerEnd.stranger()).head;
    refuses(handset, "unauthentic", () =>
      handset.applyDelta(server.delta(2, { signed: { ...server.head, signature } })),
    );
  });

  it("are refused with a log path too long, too short, of another head, or where none belongs", async () => {
    const server = await threeAboard();
    const handset = connected(server, 1);
    await server.change(join(4));
    const oneLater = server.delta(2, { logPath: server.path(2) });
    refuses(handset, "malformed", () => handset.applyDelta(oneLater));
    await server.change(join(5));
    await server.change(join(6));
    const path = server.path(2);
    for (const logPath of [
      NOTHING,
      path.subarray(32),
      path.subarray(1),
      concat(path, path),
      concat(path, Buffer.of(0)),
    ]) {
      refuses(handset, "malformed", () => handset.applyDelta(server.delta(2, { logPath })));
    }
    refuses(handset, "broken-chain", () => handset.applyDelta(server.delta(2, { logPath: server.path(3) })));
    changeOf(handset.applyDelta(server.delta(2)));
  });
});

describe("Handset's phonebook: the chain", () => {
  before(makeKeys);

  it("goes on over a restart: the same epoch, the next one, a later one", async () => {
    const server = await threeAboard();
    for (const n of [4, 5, 6]) await server.change(join(n));
    for (let epoch = 1; epoch <= server.epoch; epoch++) {
      const handset = restarted(server, 1, epoch);
      assert.deepEqual(handset.last?.hash, server.heads[epoch]!.hash);
      assert.deepEqual(handset.rows, []);
      handset.offer(server.step2(epoch));
      handset.complete(server.step6());
      assert.equal(handset.head?.head.epoch, server.epoch);
    }
  });

  it("begins anywhere when there is no last head, without a path", async () => {
    const server = await threeAboard();
    const handset = follower(1);
    refuses(handset, "malformed", () => handset.offer(server.step2(undefined, { logPath: server.path(0) })));
    handset.offer(server.step2());
    handset.complete(server.step6());
  });

  it("takes epoch 0 with a real hash for a last head like any other", async () => {
    const server = await ServerEnd.start();
    await server.change(join(1));
    const next = restarted(server, 1, 0);
    next.offer(server.step2(0));
    await server.change(join(2));
    const later = restarted(server, 1, 0);
    refuses(later, "malformed", () => later.offer(server.step2()));
    later.offer(server.step2(0));
    later.complete(server.step6());
  });

  it("wants the path of my last head and no other one", async () => {
    const server = await threeAboard();
    for (const n of [4, 5, 6]) await server.change(join(n));
    const handset = restarted(server, 1, 2);
    refuses(handset, "malformed", () => handset.offer(server.step2()));
    refuses(handset, "malformed", () =>
      handset.offer(server.step2(2, { logPath: concat(server.path(2), server.path(2)) })),
    );
    refuses(handset, "broken-chain", () => handset.offer(server.step2(3)));
    handset.offer(server.step2(2));
    handset.complete(server.step6());
  });

  it("never goes back, whatever is on disk, in step 2 and in a delta", async () => {
    const server = await threeAboard();
    const backup = server.fork();
    await server.change(join(4));
    const handset = restarted(server, 1, 3);
    refuses(handset, "epoch-back", () => handset.offer(backup.step2()));
    handset.offer(server.step2(3));
    handset.complete(server.step6());
    refuses(handset, "epoch-back", () => handset.offer(backup.step2()));
    refuses(handset, "epoch-back", () => handset.applyDelta(backup.delta(2)));
    refuses(handset, "epoch-back", () => handset.applyDelta(backup.delta(1)));
  });

  it("keeps evidence when the same epoch has another hash, also after a restart", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    await liar.change(join(5));
    for (const handset of [connected(server, 1), restarted(server, 1, 3)]) {
      refuses(handset, "two-heads", () => handset.offer(liar.step2()));
      refuses(handset, "two-heads", () => handset.applyDelta(liar.delta(3, { ops: [] })));
      const proof = verifyEvidence(evidenceOf(() => handset.offer(liar.step2())));
      assert.equal(proof.verdict, "two-heads");
      assert.deepEqual(
        proof.heads.map(({ hash }) => hash),
        [server.head.hash, liar.head.hash],
      );
    }
  });

  it("keeps evidence when the next head continues another one", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    await liar.change(join(5));
    await liar.change(join(6));
    for (const handset of [connected(server, 1), restarted(server, 1, 3)]) {
      refuses(handset, "broken-chain", () => handset.offer(liar.step2()));
      const proof = verifyEvidence(evidenceOf(() => handset.offer(liar.step2())));
      assert.equal(proof.verdict, "broken-chain");
      assert.deepEqual(
        proof.heads.map(({ hash }) => hash),
        [server.head.hash, liar.head.hash],
      );
    }
    const handset = connected(server, 1);
    const proof = verifyEvidence(evidenceOf(() => handset.applyDelta(liar.delta(3))));
    assert.equal(proof.verdict, "broken-chain");
  });

  it("keeps what it was given when the log of a later head does not hold mine", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    for (const n of [5, 6, 7]) await liar.change(join(n));
    const handset = restarted(server, 1, 3);
    refuses(handset, "broken-chain", () => handset.offer(liar.step2(3)));
    const proof = verifyEvidence(evidenceOf(() => handset.offer(liar.step2(3))));
    assert.equal(proof.verdict, "unlinked");
    assert.deepEqual(proof.logPath, liar.path(3));
  });

  it("holds an offered head against the server though it was never completed", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    await liar.change(join(5));
    const handset = follower(1);
    handset.offer(server.step2());
    refuses(handset, "two-heads", () => handset.offer(liar.step2()));
    assert.equal(handset.last, undefined);
    handset.offer(server.step2());
    handset.complete(server.step6());
  });

  it("does not take another server's head for its last one", async () => {
    const stranger = await ServerEnd.stranger();
    assert.throws(() => follower(1, stranger.head), withCode("unauthentic"));
  });
});

describe("Handset's phonebook: two handsets compare in a call", () => {
  before(makeKeys);

  it("the same head, an older one and a newer one", async () => {
    const server = await threeAboard();
    const a = connected(server, 1);
    await server.change(join(4));
    const b = connected(server, 2);
    assert.equal(a.judgePeerHead(b.head!), "newer");
    assert.equal(b.judgePeerHead(a.head!), "older");
    a.applyDelta(server.delta(2));
    assert.equal(a.judgePeerHead(b.head!), "same");
    assert.throws(() => follower(1).judgePeerHead(b.head!), withCode("out-of-order"));
  });

  it("and the holder of the newer one asks for the path of the older", async () => {
    const server = await threeAboard();
    for (const n of [4, 5, 6]) await server.change(join(n));
    const handset = connected(server, 2);
    const newer = server.head;
    for (let older = 0; older < server.epoch; older++) {
      const path = server.path(older);
      assert.equal(handset.checkPath(server.heads[older]!, newer, path), "linked");
      for (const wrong of [
        concat(path, path.subarray(0, 32), Buffer.alloc(32)),
        path.subarray(0, -1),
        concat(path, Buffer.of(1)),
      ]) {
        assert.equal(handset.checkPath(server.heads[older]!, newer, wrong), "malformed");
      }
    }
    assert.equal(handset.checkPath(newer, newer, NOTHING), "malformed");
    assert.equal(handset.checkPath(newer, server.heads[0]!, server.path(0)), "malformed");
  });

  it("a two-faced server is caught when both stand at one epoch, and anybody can check it", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    await liar.change(join(5));
    const a = connected(server, 1);
    const b = connected(liar, 2);
    const verdict = a.judgePeerHead(b.head!);
    assert.ok(typeof verdict === "object");
    const proof = verifyEvidence(verdict.evidence);
    assert.equal(proof.verdict, "two-heads");
    assert.equal(proof.serverKey.uid, serverKey().uid);
    assert.ok(typeof b.judgePeerHead(a.head!) === "object");
  });

  it("a two-faced server is caught when the faces have grown apart", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    for (const n of [5, 6, 7]) await liar.change(join(n));
    const a = connected(server, 1); // epoch 3
    const b = connected(liar, 2); // epoch 5
    assert.equal(b.judgePeerHead(a.head!), "older");
    const verdict = b.checkPath(a.head!, b.head!, liar.path(3));
    assert.ok(typeof verdict === "object");
    assert.equal(verifyEvidence(verdict.evidence).verdict, "unlinked");
  });

  it("a handset that lived through the epoch in question has the proof at once", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    const b = connected(liar, 2);
    for (const n of [5, 6, 7]) {
      await liar.change(join(n));
      b.applyDelta(liar.delta(liar.epoch - 1));
    }
    const verdict = b.judgePeerHead(connected(server, 1).head!);
    assert.ok(typeof verdict === "object");
    assert.equal(verifyEvidence(verdict.evidence).verdict, "two-heads");
  });

  it("the head that lay on the disk convicts as well, long after it was the last one", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    for (const n of [4, 5, 6]) await server.change(join(n));
    await liar.change(join(5));
    const handset = restarted(server, 1, 3);
    handset.offer(server.step2(3));
    handset.complete(server.step6());
    const verdict = handset.judgePeerHead(liar.head);
    assert.ok(typeof verdict === "object");
    assert.equal(verifyEvidence(verdict.evidence).verdict, "two-heads");
  });

  it("a head that fits between two that were heard convicts when either neighbour parts from it", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    for (const n of [4, 5, 6, 7, 8]) await server.change(join(n));
    for (const n of [8, 7, 6, 5, 4]) await liar.change(join(n));
    const handset = restarted(server, 1, 4); // has heard of epochs 4 and 7 when the calls come
    handset.offer(server.step2(4));
    handset.complete(server.step6());
    for (const epoch of [3, 5]) {
      const verdict = handset.judgePeerHead(liar.heads[epoch]!);
      assert.ok(typeof verdict === "object", `epoch ${epoch}`);
      const { verdict: shown, heads } = verifyEvidence(verdict.evidence);
      assert.equal(shown, "broken-chain");
      assert.ok(heads.some(({ hash }) => hash.equals(server.heads[4]!.hash)));
    }
  });

  it("a path that links does not help when prev names another head", async () => {
    const server = await threeAboard();
    const newer = await server.changeAnd({ prev: Buffer.alloc(32, 1) }, join(4));
    const handset = connected(server, 1);
    const verdict = handset.checkPath(server.heads[2]!, newer, server.path(2));
    assert.ok(typeof verdict === "object");
    assert.equal(verifyEvidence(verdict.evidence).verdict, "broken-chain");
  });

  it("neighbouring epochs need no path: prev tells", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    await server.change(join(4));
    await liar.change(join(5));
    await liar.change(join(6));
    const b = connected(liar, 2);
    const verdict = b.judgePeerHead(connected(server, 1).head!);
    assert.ok(typeof verdict === "object");
    assert.equal(verifyEvidence(verdict.evidence).verdict, "broken-chain");
  });

  it("a head heard from a caller convicts the server that shows me another one later", async () => {
    const server = await threeAboard();
    const liar = server.fork();
    const mine = connected(server, 1);
    for (const n of [4, 5]) await server.change(join(n));
    for (const n of [5, 4]) await liar.change(join(n));
    assert.equal(mine.judgePeerHead(connected(liar, 2).head!), "newer");
    refuses(mine, "two-heads", () => mine.applyDelta(server.delta(2)));
  });

  it("a flood of old heads does not make a handset forget its own", async () => {
    const server = await ServerEnd.start();
    await server.change(join(1), join(2));
    const liar = server.fork();
    await server.change(join(3));
    await liar.change(join(4));
    const handset = connected(server, 1);
    for (let n = 0; n < 70; n++) {
      await server.change();
      assert.equal(handset.judgePeerHead(server.head), "newer");
    }
    assert.ok(typeof handset.judgePeerHead(liar.head) === "object");
  });
});

describe("Handset's phonebook: any history", () => {
  before(makeKeys);

  type Step =
    | { do: "change"; toggles: number[]; rename: boolean }
    | { do: "delta" | "snapshot" | "skip" | "restart" | "reconnect" | "compare" };
  const steps: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("change" as const),
        toggles: fc.array(fc.integer({ min: 2, max: MEMBERS }), { maxLength: 4 }),
        rename: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constantFrom(
          "delta" as const,
          "delta" as const,
          "snapshot" as const,
          "skip" as const,
          "restart" as const,
          "reconnect" as const,
          "compare" as const,
        ),
      }),
    },
  );

  it("ends with what the server has, the same ids, roots and head, and told every change on the way", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 4, maxLength: 14 }), async (history) => {
        const server = await ServerEnd.start();
        await server.change(join(2), join(1));
        let handset = connected(server, 1);
        const told = new Map(handset.rows.slice(1).map((row) => [row.uid, row.name]));
        const listen = (change: Change) => {
          for (const { uid } of change.left) assert.ok(told.delete(uid));
          for (const { from, to } of [...change.renamed, ...change.rekeyed]) {
            assert.equal(told.get(from.uid), from.name);
            told.delete(from.uid);
            told.set(to.uid, to.name);
          }
          for (const { uid, name } of change.joined) {
            assert.ok(!told.has(uid));
            told.set(uid, name);
          }
          assert.equal(change.ownIdAfter, handset.ownId);
          same();
        };
        const same = () => {
          assert.deepEqual(
            handset.rows.map(({ uid, name }) => [uid, name]),
            server.directory.rows.map(({ uid, name }) => [uid, name]),
          );
          assert.deepEqual(new Map(handset.rows.slice(1).map((row) => [row.uid, row.name])), told);
          assert.deepEqual(handset.head?.hash, server.head.hash);
          assert.equal(handset.ownId, server.directory.idOf(member(1).uid));
          assert.equal(handset.recomputeSeedRoot().toString("hex"), plainSeedRoot(server.directory.rows));
        };
        const from = () => handset.last!.head.epoch;
        const snapshot = () => {
          handset.offer(server.step2(from()));
          listen(handset.complete(server.step6()));
        };
        let renames = 0;
        for (const step of history) {
          switch (step.do) {
            case "change": {
              const ops: Op[] = [];
              const here = new Set(server.directory.rows.map((row) => row.uid));
              for (const n of new Set(step.toggles)) {
                const index = server.directory.find(member(n).uid);
                if (here.has(member(n).uid)) {
                  ops.push({ op: "leave", index });
                  server.directory.removeAt(index);
                  if (step.rename) ops.push(join(n, `Name ${n} ${++renames}`));
                } else ops.push(join(n));
                const last = ops.at(-1)!;
                if (last.op === "append") server.directory.append(last.row);
              }
              await server.change();
              server.ops[server.epoch] = ops;
              break;
            }
            case "delta":
              listen(changeOf(handset.applyDelta(server.delta(from()))));
              break;
            case "skip": {
              const before = stateOf(handset);
              if (from() < server.epoch) {
                assert.deepEqual(handset.applyDelta(server.delta(from() + 1)), { gap: true });
                assert.deepEqual(stateOf(handset), before);
              }
              break;
            }
            case "snapshot":
              snapshot();
              break;
            case "restart":
              handset = follower(1, handset.last);
              told.clear();
              told.set(member(1).uid, member(1).name);
              snapshot();
              break;
            case "reconnect":
              assert.deepEqual(handset.last?.hash, handset.head?.hash);
              snapshot();
              break;
            case "compare": {
              const verdict = handset.judgePeerHead(server.head);
              assert.equal(verdict, from() === server.epoch ? "same" : "newer");
              const older = server.heads[from()]!;
              if (verdict === "newer")
                assert.equal(handset.checkPath(older, server.head, server.path(from())), "linked");
              break;
            }
          }
        }
        listen(changeOf(handset.applyDelta(server.delta(from()))));
      }),
      { numRuns: 40 },
    );
  });
});

const OFFER_CODES = [
  "malformed",
  "unauthentic",
  "epoch-back",
  "two-heads",
  "broken-chain",
  "bad-row",
  "wrong-root",
  "server-not-in-list",
  "not-in-list",
];
const DELTA_CODES = OFFER_CODES;

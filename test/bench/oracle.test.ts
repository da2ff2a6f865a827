import assert from "node:assert/strict";
import type { Uid } from "@feldfon/protocol/identity";
import { type CallState, type HandsetState, Oracle } from "../../bench/load/oracle.ts";
import type { ServerAnswers } from "../../bench/load/server.ts";

const anna = "a".repeat(64) as Uid;
const berta = "b".repeat(64) as Uid;
const HASHES = Buffer.concat([Buffer.alloc(32, 1), Buffer.alloc(32, 2)]);

function head(epoch: number, byte: number) {
  const hash = Buffer.alloc(32, byte).toString("hex");
  return { what: "head", epoch, content: `${epoch} ${hash}`, hash } as const;
}

function stored(...placed: Uid[]) {
  const handsets = placed.map((uid, place) => ({ uid, name: "", spki: Buffer.alloc(0), place }));
  return { head: undefined, hashes: HASHES, handsets };
}

describe("the oracle of the load benches", () => {
  let oracle: Oracle;
  let server: ServerAnswers["state"];

  beforeEach(() => {
    oracle = new Oracle();
    for (const uid of [anna, berta]) oracle.hear({ what: "registered", uid });
    server = {
      epoch: 1,
      root: "r",
      directoryRoot: "d",
      rows: 3,
      calls: 0,
      slots: 10,
      halfOpen: 0,
      lines: 2,
      batchesFailed: 0,
    };
  });

  function handset(uid: Uid, ...calls: CallState[]): HandsetState {
    const name = uid === anna ? "Anna" : "Berta";
    return { uid, name, connected: true, stuck: undefined, head: "1 r d", rows: [anna, berta], calls };
  }

  function call(peer: Uid, ended?: CallState["ended"]): CallState {
    return { callId: "c".repeat(32), peer, agreed: true, ended };
  }

  it("has nothing to say about a house in order, in a call or out of it", () => {
    assert.deepEqual(oracle.apart([handset(anna), handset(berta)], server), []);
    const talking = { ...server, calls: 1 };
    assert.deepEqual(oracle.apart([handset(anna, call(berta)), handset(berta, call(anna))], talking), []);
    const over = { why: "hung-up-here", erased: "both" };
    assert.deepEqual(oracle.apart([handset(anna, call(berta, over)), handset(berta, call(anna, over))], server), []);
  });

  it("misses a registration that was acknowledged and is not on the killed server's disk", () => {
    assert.deepEqual(oracle.onDisk(stored(anna, berta)), []);
    assert.match(oracle.onDisk(stored(anna)).join(), /^bbbbbbbb was registered and is not on disk$/);
    oracle.hear({ what: "leaving", uid: berta });
    assert.deepEqual(oracle.onDisk(stored(anna)), []);
  });

  it("misses an epoch that somebody was shown and that is not on disk, or is another one there", () => {
    oracle.hear(head(1, 2));
    assert.deepEqual(oracle.onDisk(stored(anna, berta)), []);
    oracle.hear(head(2, 3));
    assert.deepEqual(oracle.onDisk(stored(anna, berta)), ["epoch 2 was shown and is not on disk"]);
    oracle.hear(head(0, 9));
    assert.match(oracle.onDisk(stored(anna, berta)).join(), /epoch 0 is another one on disk/);
  });

  it("notices that an epoch is used twice, whoever saw it first", () => {
    oracle.hear(head(1, 2));
    oracle.hear(head(1, 2));
    assert.deepEqual(oracle.wrong, []);
    oracle.hear(head(1, 3));
    assert.match(oracle.wrong.join(), /epoch 1 was used twice/);
  });

  const disorder: Record<string, { wrong: Partial<HandsetState>; says: RegExp }> = {
    "not connected": { wrong: { connected: false }, says: /^Berta is not connected$/ },
    "waiting for a person": { wrong: { stuck: "epoch-back" }, says: /^Berta has given up: epoch-back$/ },
    "at another epoch": { wrong: { head: "0 r d" }, says: /^Berta has another directory than the server$/ },
    "counting other ids": { wrong: { rows: [berta, anna] }, says: /^Berta has other ids than Anna$/ },
  };
  for (const [what, { wrong, says }] of Object.entries(disorder)) {
    it(`notices a handset that is ${what}`, () => {
      const said = oracle.apart([handset(anna), { ...handset(berta), ...wrong }], server);
      assert.match(said.join("\n"), says);
    });
  }

  it("notices that a registered handset has no row any more", () => {
    const alone = [{ ...handset(anna), rows: [anna] }];
    assert.match(
      oracle.apart(alone, { ...server, rows: 2 }).join(),
      /^bbbbbbbb was registered and is not in the directory/,
    );
  });

  it("notices a call that goes on at one end only", () => {
    const talking = { ...server, calls: 1 };
    const says = (theirs: HandsetState) => oracle.apart([handset(anna, call(berta)), theirs], talking);
    assert.match(says(handset(berta)).join(), /^Anna is in call c+ with Berta, which does not know of it$/);
    const over = call(anna, { why: "line-lost", erased: "here" });
    assert.match(says(handset(berta, over)).join(), /Berta, which has ended it: line-lost$/);
    assert.match(says(handset(berta, { ...call(anna), agreed: false })).join(), /Berta, which has not agreed to it$/);
  });

  it("notices a call that the server has forgotten, or holds alone", () => {
    const both = [handset(anna, call(berta)), handset(berta, call(anna))];
    assert.deepEqual(oracle.apart(both, server), ["0 calls at the server, 1 at handsets"]);
    const none = [handset(anna), handset(berta)];
    assert.deepEqual(oracle.apart(none, { ...server, calls: 1 }), ["1 calls at the server, 0 at handsets"]);
  });

  it("does not believe 'keys erased on both sides' while the other side has them", () => {
    const over = call(berta, { why: "hung-up-here", erased: "both" });
    const said = oracle.apart([handset(anna, over), handset(berta, call(anna))], { ...server, calls: 1 });
    assert.match(said.join("\n"), /Anna says "both sides" of keys that the other end has/);
  });
});

/** Recorded bytes of the directory: a change of the wire shows here. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { verifyEvidence } from "@feldfon/protocol/directory/evidence";
import { Follower } from "@feldfon/protocol/directory/follower";
import { MerkleLog } from "@feldfon/protocol/directory/log";
import {
  Directory,
  encodeDelta,
  encodeStep2,
  encodeStep6,
  type Op,
  type Row,
  step2Rows,
} from "@feldfon/protocol/directory/phonebook";
import { encodeHead, logLeaf, nextHead, readSignedHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey } from "@feldfon/protocol/identity";

interface Recorded {
  serverSpki: string;
  members: { spki: string; uidHex: string }[];
  firstTimeMs: number;
  epochs: {
    rows: [name: string, member: number][];
    ops: ({ leave: number } | { append: string })[];
    head: string;
    headHashHex: string;
    signature: string;
  }[];
  step2: string;
  step6: string;
  deltaFrom0: string;
  deltaFrom2: string;
  pathOf0In3: string;
  evidence: string;
}
const vectors: Recorded = JSON.parse(readFileSync(new URL("../../vectors/directory.json", import.meta.url), "utf8"));
const bytes = (base64: string) => Buffer.from(base64, "base64");
const serverKey = new PublicKey(bytes(vectors.serverSpki));

function rowOf([name, n]: [string, number]): Row {
  const key = new PublicKey(bytes(vectors.members[n]!.spki));
  assert.equal(key.uid, vectors.members[n]!.uidHex);
  return { uid: key.uid, name, key, flags: 0 };
}

/** The server's end, from the recorded changes and signatures. */
function replay(): { directory: Directory; log: MerkleLog; heads: SignedHead[]; ops: Op[][] } {
  const directory = new Directory(serverKey);
  const log = new MerkleLog();
  const heads: SignedHead[] = [];
  const ops = vectors.epochs.map(({ rows, ops, head, headHashHex, signature }, epoch) => {
    const changes = ops.map(
      (op): Op =>
        "leave" in op
          ? { op: "leave", index: op.leave }
          : { op: "append", row: rowOf(rows.find(([name]) => name === op.append)!) },
    );
    for (const change of changes) directory.apply(change);
    const made = encodeHead(nextHead(directory, log, heads.at(-1), vectors.firstTimeMs + epoch));
    assert.equal(made.toString("base64"), head, `head ${epoch}`);
    const signed = readSignedHead(made, bytes(signature), serverKey);
    assert.equal(signed.hash.toString("hex"), headHashHex);
    assert.deepEqual(
      directory.rows.slice(1).map((row) => row.name),
      rows.map(([name]) => name),
    );
    heads.push(signed);
    log.append(logLeaf(signed));
    return changes;
  });
  return { directory, log, heads, ops };
}

function handset(last?: SignedHead): Follower {
  const { uid, key } = rowOf(["Jörg", 1]);
  return new Follower({ serverKey, own: { uid, name: "Jörg", key }, last });
}

describe("Directory: recorded bytes", () => {
  it("are what the server makes of the same changes: heads, step 2, step 6, deltas, path", () => {
    const { directory, log, heads, ops } = replay();
    const signed = heads[3]!;
    const logPath = log.path(0, 3);
    assert.equal(logPath.toString("base64"), vectors.pathOf0In3);
    assert.equal(encodeStep2({ signed, rows: step2Rows(directory), logPath }).toString("base64"), vectors.step2);
    assert.equal(encodeStep6(directory.rows).toString("base64"), vectors.step6);
    const from0 = encodeDelta({ from: 0, signed, logPath, ops: ops.slice(1).flat() });
    assert.equal(from0.toString("base64"), vectors.deltaFrom0);
    const from2 = encodeDelta({ from: 2, signed, logPath: Buffer.alloc(0), ops: ops[3]! });
    assert.equal(from2.toString("base64"), vectors.deltaFrom2);
  });

  it("are what a handset takes, which has head 0 on its disk", () => {
    const { heads } = replay();
    const one = handset(heads[0]);
    one.offer(bytes(vectors.step2));
    one.complete(bytes(vectors.step6));
    assert.deepEqual(
      one.rows.map((row) => row.name),
      ["server", "Jörg", "李明", "Anna 2"],
    );
    assert.equal(one.ownId, 0);
    assert.equal(one.head?.hash.toString("hex"), vectors.epochs[3]!.headHashHex);
    assert.throws(() => handset(heads[1]).offer(bytes(vectors.step2)));
  });

  it("hold evidence of two heads of epoch 2", () => {
    const { verdict, heads, serverKey: accused } = verifyEvidence(bytes(vectors.evidence));
    assert.equal(verdict, "two-heads");
    assert.equal(accused.uid, serverKey.uid);
    assert.deepEqual(
      heads.map(({ head }) => head.epoch),
      [2, 2],
    );
    assert.equal(heads[0].hash.toString("hex"), vectors.epochs[2]!.headHashHex);
  });
});

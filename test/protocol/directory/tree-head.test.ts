import assert from "node:assert/strict";
import {
  decodeHead,
  encodeHead,
  HEAD_BYTES,
  type Head,
  headHash,
  readSignedHead,
} from "@feldfon/protocol/directory/tree-head";
import { parseUid } from "@feldfon/protocol/identity";
import fc from "fast-check";
import { flips, join, makeKeys, ServerEnd, serverKey, strangerKey, withCode } from "./two-ends.ts";

const hash32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const heads: fc.Arbitrary<Head> = fc.record(
  {
    server: hash32.map((bytes) => parseUid(bytes.toString("hex"))),
    epoch: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    rows: fc.integer({ min: 1, max: 0xffff_ffff }),
    seedRoot: hash32,
    dirRoot: hash32,
    prev: hash32,
    logRoot: hash32,
    timeMs: fc.nat(Number.MAX_SAFE_INTEGER),
  },
  { noNullPrototype: true },
);

describe("Directory: the head", () => {
  before(makeKeys);

  it("has 184 bytes and says the same when read again", () => {
    fc.assert(
      fc.property(heads, (head) => {
        const bytes = encodeHead(head);
        assert.equal(bytes.length, HEAD_BYTES);
        assert.deepEqual(decodeHead(bytes), head);
      }),
    );
  });

  it("is refused in any other form, and in no other way", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        assert.throws(() => decodeHead(bytes), withCode("malformed"));
      }),
    );
    fc.assert(
      fc.property(heads, (head) => {
        const bytes = encodeHead(head);
        assert.throws(() => decodeHead(bytes.subarray(0, -1)), withCode("malformed"));
        assert.throws(() => decodeHead(Buffer.concat([bytes, Buffer.of(0)])), withCode("malformed"));
        assert.throws(() => decodeHead(encodeHead({ ...head, rows: 0 })), withCode("malformed"));
      }),
    );
  });

  it("of epoch 0 has no past", async () => {
    const { head } = (await ServerEnd.start()).head;
    assert.equal(head.epoch, 0);
    assert.equal(head.rows, 1);
    assert.deepEqual(head.prev, Buffer.alloc(32));
    assert.deepEqual(head.logRoot, Buffer.alloc(32));
    for (const past of [{ prev: Buffer.alloc(32, 1) }, { logRoot: Buffer.alloc(32, 1) }]) {
      assert.throws(() => decodeHead(encodeHead({ ...head, ...past })), withCode("malformed"));
    }
  });

  it("is known by its hash and not by its signature, which is another one each time", async () => {
    const server = await ServerEnd.start();
    const again = await server.signAgain();
    assert.deepEqual(again.hash, server.head.hash);
    assert.notDeepEqual(again.signature, server.head.signature);
    assert.deepEqual(headHash(server.head.bytes), server.head.hash);
  });

  it("is believed under the server's signature and under no other", async () => {
    const { bytes, signature, hash } = (await ServerEnd.start()).head;
    assert.deepEqual(readSignedHead(bytes, signature, serverKey()).hash, hash);
    assert.throws(() => readSignedHead(bytes, signature, strangerKey()), withCode("unauthentic"));
    const stranger = (await ServerEnd.stranger()).head;
    assert.throws(() => readSignedHead(stranger.bytes, stranger.signature, serverKey()), withCode("unauthentic"));
    assert.throws(() => readSignedHead(bytes, stranger.signature, serverKey()), withCode("unauthentic"));
    assert.throws(() => readSignedHead(bytes, signature.subarray(1), serverKey()), withCode("unauthentic"));
    assert.throws(() => readSignedHead(bytes.subarray(1), signature, serverKey()), withCode("malformed"));
  });

  it("of another server is refused even when our server signed it", async () => {
    const server = await ServerEnd.start();
    const signed = await server.changeAnd({ server: strangerKey().uid }, join(1));
    assert.throws(() => readSignedHead(signed.bytes, signed.signature, serverKey()), withCode("unauthentic"));
  });

  it("is refused with any byte of it or of its signature turned", async () => {
    const server = await ServerEnd.start();
    const { bytes, signature } = await server.change(join(1));
    const refused = withCode("malformed", "unauthentic");
    for (const { at, flipped } of flips(bytes)) {
      assert.throws(() => readSignedHead(flipped, signature, serverKey()), refused, `head, byte ${at}`);
    }
    for (const { at, flipped } of flips(signature)) {
      assert.throws(() => readSignedHead(bytes, flipped, serverKey()), refused, `signature, byte ${at}`);
    }
  });

  it("outlives the message it came in", async () => {
    const { bytes, signature, hash } = (await ServerEnd.start()).head;
    const message = Buffer.concat([bytes, signature]);
    const read = readSignedHead(message.subarray(0, HEAD_BYTES), message.subarray(HEAD_BYTES), serverKey());
    message.fill(0);
    assert.deepEqual(headHash(encodeHead(read.head)), hash);
    assert.deepEqual(read.signature, signature);
  });
});

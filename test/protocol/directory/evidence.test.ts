import assert from "node:assert/strict";
import { concat, lp } from "@feldfon/protocol/bytes";
import { decodeEvidence, encodeEvidence, verifyEvidence } from "@feldfon/protocol/directory/evidence";
import type { SignedHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import fc from "fast-check";
import { flips, join, makeKeys, ServerEnd, serverKey, strangerKey, withCode } from "./two-ends.ts";

/** A server that tells two stories from epoch 2 on: head 2 and later ones of each. */
async function twoFaces(): Promise<{ honest: SignedHead[]; lying: SignedHead[]; liar: ServerEnd; server: ServerEnd }> {
  const server = await ServerEnd.start();
  await server.change(join(1), join(2));
  const liar = server.fork();
  for (const n of [3, 4, 5, 6]) await server.change(join(n));
  for (const n of [6, 5, 4, 3]) await liar.change(join(n));
  return { server, liar, honest: server.heads, lying: liar.heads };
}

describe("Evidence against a server", () => {
  before(makeKeys);

  it("convicts by two signed heads of one epoch", async () => {
    const { honest, lying } = await twoFaces();
    const bytes = encodeEvidence(serverKey(), [honest[3]!, lying[3]!]);
    const { verdict, serverKey: accused, heads, logPath } = verifyEvidence(bytes);
    assert.equal(verdict, "two-heads");
    assert.equal(accused.uid, serverKey().uid);
    assert.deepEqual(
      heads.map(({ hash }) => hash),
      [honest[3]!.hash, lying[3]!.hash],
    );
    assert.equal(logPath.length, 0);
  });

  it("convicts by a next head that continues another one, in whichever order they are given", async () => {
    const { honest, lying } = await twoFaces();
    for (const heads of [
      [honest[2]!, lying[3]!],
      [lying[3]!, honest[2]!],
    ] as [SignedHead, SignedHead][]) {
      const { verdict, heads: ordered } = verifyEvidence(encodeEvidence(serverKey(), heads));
      assert.equal(verdict, "broken-chain");
      assert.deepEqual(
        ordered.map(({ head }) => head.epoch),
        [2, 3],
      );
    }
  });

  it("keeps a path that does not link two heads, and says that it proves less", async () => {
    const { honest, lying, liar } = await twoFaces();
    const bytes = encodeEvidence(serverKey(), [honest[2]!, lying[5]!], liar.path(2));
    assert.equal(verifyEvidence(bytes).verdict, "unlinked");
  });

  it("has the layout of wire.md", async () => {
    const { honest, lying } = await twoFaces();
    const [older, newer, path] = [honest[2]!, lying[5]!, Buffer.alloc(96, 7)];
    assert.deepEqual(
      encodeEvidence(serverKey(), [older, newer], path),
      concat(
        Buffer.from("FFE1"),
        lp(serverKey().spki),
        lp(older.bytes),
        older.signature,
        lp(newer.bytes),
        newer.signature,
        lp(path),
      ),
    );
  });

  it("is none when an honest server could have signed both", async () => {
    const { server, honest, lying } = await twoFaces();
    const again = await server.signAgain();
    const none: [SignedHead, SignedHead, Buffer?][] = [
      [honest[5]!, honest[5]!],
      [honest[5]!, again], // one head, two signatures
      [honest[4]!, honest[5]!],
      [honest[2]!, honest[5]!, server.path(2)],
      [honest[4]!, honest[5]!, server.path(4)],
      [honest[2]!, honest[5]!], // no path: nothing is shown
      [honest[2]!, honest[5]!, server.path(2).subarray(32)],
      [honest[5]!, honest[5]!, server.path(2)],
      [honest[3]!, lying[3]!, server.path(2)], // one epoch has no path
    ];
    for (const [a, b, path] of none) {
      assert.throws(() => verifyEvidence(encodeEvidence(serverKey(), [a, b], path)), withCode("no-evidence"));
    }
  });

  it("is none when the heads are of two servers", async () => {
    const { honest } = await twoFaces();
    const stranger = await ServerEnd.stranger();
    for (const key of [serverKey(), strangerKey()]) {
      const bytes = encodeEvidence(key, [honest[0]!, stranger.head]);
      assert.throws(() => verifyEvidence(bytes), withCode("unauthentic"));
    }
  });

  it("is worth nothing with any byte turned", async () => {
    const { honest, lying } = await twoFaces();
    for (const { at, flipped } of flips(encodeEvidence(serverKey(), [honest[3]!, lying[3]!]))) {
      assert.throws(() => verifyEvidence(flipped), withCode("malformed", "key-bad", "unauthentic"), `byte ${at}`);
    }
  });

  it("is refused in any other form by a typed error", async () => {
    const { honest, lying } = await twoFaces();
    const bytes = encodeEvidence(serverKey(), [honest[3]!, lying[3]!]);
    assert.throws(() => decodeEvidence(concat(bytes, Buffer.of(0))), withCode("malformed"));
    for (let cut = 0; cut < bytes.length; cut += 13) {
      assert.throws(() => decodeEvidence(bytes.subarray(0, cut)), withCode("malformed"));
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), (noise) => {
        assert.throws(() => verifyEvidence(concat(Buffer.from("FFE1"), noise)), ProtocolError);
      }),
    );
  });
});

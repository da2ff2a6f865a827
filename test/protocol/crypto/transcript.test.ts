import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { lp } from "@feldfon/protocol/bytes";
import { labelled, sha3, transcript } from "@feldfon/protocol/crypto/transcript";
import fc from "fast-check";

/** Shorter and longer than the place where they are put together. */
const parts = fc.array(fc.uint8Array({ maxLength: 12_000, size: "max" }), { maxLength: 4 });
const hashOf = (pieces: Uint8Array[]) => pieces.reduce((hash, piece) => hash.update(piece), createHash("sha3-256"));

describe("transcripts", () => {
  it("are SHA3-256 over label and parts, each with its length, whatever was hashed before", () => {
    fc.assert(
      fc.property(fc.constantFrom("m2", "channel"), parts, (word, given) => {
        const pieces = [Buffer.from(`feldfon/1 ${word}`), ...given].map(lp);
        assert.deepEqual(transcript(word, ...given), hashOf(pieces).digest());
        assert.deepEqual(sha3(...[Buffer.of(0), ...given]), hashOf([Buffer.of(0), ...given]).digest());
      }),
    );
  });

  it("stand behind their label and a zero where they are signed", () => {
    const t = transcript("m4", Buffer.from("t2"));
    assert.deepEqual(labelled("m4", t), Buffer.concat([Buffer.from("feldfon/1 m4\0"), t]));
  });
});

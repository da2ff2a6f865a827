import assert from "node:assert/strict";
import { parseAddress } from "@feldfon/protocol/media/address";
import { encodeCandidates, parseCandidates } from "@feldfon/protocol/media/candidates";
import fc from "fast-check";

const malformed = { name: "ProtocolError", code: "malformed" };
const recorded = "02 04 c0000201 13c4 06 20010db8000000000000000000000001 ffff".replaceAll(" ", "");
const two = [parseAddress("192.0.2.1", 5060), parseAddress("2001:db8::1", 65535)];

describe("Candidates", () => {
  it("travel as these bytes", () => {
    assert.equal(encodeCandidates(two).toString("hex"), recorded);
    assert.deepEqual(parseCandidates(Buffer.from(recorded, "hex")), two);
  });

  it("may be none", () => assert.deepEqual(parseCandidates(Buffer.of(0)), []));

  it("come back as they were sent", () => {
    const address = fc
      .tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 1, max: 65535 }))
      .map(([host, port]) => parseAddress(host, port));
    fc.assert(
      fc.property(fc.array(address, { maxLength: 255 }), (candidates) => {
        assert.deepEqual(parseCandidates(encodeCandidates(candidates)), candidates);
      }),
      { numRuns: 50 },
    );
  });

  it("are refused when a byte is missing or left over", () => {
    const whole = Buffer.from(recorded, "hex");
    for (let bytes = 0; bytes < whole.length; bytes++) {
      assert.throws(() => parseCandidates(whole.subarray(0, bytes)), malformed, `${bytes} bytes`);
    }
    assert.throws(() => parseCandidates(Buffer.concat([whole, Buffer.of(0)])), malformed);
  });

  it("are refused with another family, with port 0, and above 255", () => {
    assert.throws(() => parseCandidates(Buffer.from("0105c000020113c4", "hex")), malformed);
    assert.throws(() => parseCandidates(Buffer.from("0104c00002010000", "hex")), malformed);
    assert.throws(() => encodeCandidates(Array(256).fill(two[0])), malformed);
  });

  it("either parse or are malformed, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          assert.deepEqual(encodeCandidates(parseCandidates(bytes)), Buffer.from(bytes));
        } catch (error) {
          assert.equal((error as { code?: string }).code, "malformed");
        }
      }),
      { numRuns: 500 },
    );
  });
});

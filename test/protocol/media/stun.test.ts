import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { hostOf, parseAddress } from "@feldfon/protocol/media/address";
import { encodeBindingRequest, encodeBindingSuccess, newTransaction, parseStun } from "@feldfon/protocol/media/stun";
import fc from "fast-check";

/** RFC 5769 §2.1 .. 2.3, whole messages; password of MESSAGE-INTEGRITY: VOkJxbRl1RmTxUk/WvJxBt */
const REQUEST = hex(`
  00010058 2112a442 b7e7a701bc34d686fa87dfae
  80220010 5354554e207465737420636c69656e74
  00240004 6e0001ff
  80290008 932ff9b151263b36
  00060009 6576746a3a68367659202020
  00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
  80280004 e57a3bcf`);
const RESPONSE_4 = hex(`
  0101003c 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220
  00200008 0001a147e112a643
  00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
  80280004 c07d4c96`);
const RESPONSE_6 = hex(`
  01010048 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220
  00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
  00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
  80280004 c8fb0b4c`);
const TRANSACTION = hex("b7e7a701bc34d686fa87dfae");
const PRIORITY = 0x0024; // of ICE; a plain server does not know it

function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s+/g, ""), "hex");
}

/** Sets the length in the head to what is there. */
function withLength(message: Buffer): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(copy.length - 20, 2);
  return copy;
}

describe("STUN: the vectors of RFC 5769", () => {
  it("are written down here as they are in the RFC", () => {
    for (const message of [REQUEST, RESPONSE_4, RESPONSE_6]) {
      const signed = Buffer.from(message.subarray(0, message.length - 32));
      signed.writeUInt16BE(signed.length - 20 + 24, 2);
      const integrity = createHmac("sha1", "VOkJxbRl1RmTxUk/WvJxBt").update(signed).digest();
      assert.deepEqual(integrity, message.subarray(message.length - 28, message.length - 8));
    }
  });

  it("has a request whose credentials are stepped over and whose unknown attribute is named", () => {
    assert.deepEqual(parseStun(REQUEST), {
      type: "request",
      transaction: TRANSACTION,
      unknownRequired: [PRIORITY],
    });
  });

  it("has an answer with an IPv4 address", () => {
    const answer = parseStun(RESPONSE_4);
    assert.ok(answer?.type === "success");
    assert.equal(hostOf(answer.mapped), "192.0.2.1");
    assert.equal(answer.mapped.port, 32853);
  });

  it("has an answer with an IPv6 address", () => {
    const answer = parseStun(RESPONSE_6);
    assert.ok(answer?.type === "success");
    assert.equal(hostOf(answer.mapped), "2001:db8:1234:5678:11:2233:4455:6677");
    assert.equal(answer.mapped.port, 32853);
  });

  it("has addresses that we XOR to the same bytes", () => {
    const four = encodeBindingSuccess(TRANSACTION, parseAddress("192.0.2.1", 32853));
    assert.deepEqual(four.subarray(20, 32), hex("00200008 0001a147e112a643"));
    const six = encodeBindingSuccess(TRANSACTION, parseAddress("2001:db8:1234:5678:11:2233:4455:6677", 32853));
    assert.deepEqual(six.subarray(20, 44), hex("00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"));
  });
});

describe("STUN: our own messages", () => {
  it("are these bytes", () => {
    const recorded = "000100082112a442b7e7a701bc34d686fa87dfae80280004";
    const request = encodeBindingRequest(TRANSACTION);
    assert.equal(request.subarray(0, 24).toString("hex"), recorded);
    assert.equal(request.length, 28);
    const answer = encodeBindingSuccess(TRANSACTION, parseAddress("192.0.2.1", 32853));
    assert.equal(answer.subarray(0, 8).toString("hex"), "010100142112a442");
    assert.equal(answer.length, 40);
  });

  it("come back as they were sent, for any address", () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(address, fc.integer({ min: 1, max: 65535 }), (text, port) => {
        const transaction = newTransaction();
        const mapped = parseAddress(text, port);
        assert.deepEqual(parseStun(encodeBindingSuccess(transaction, mapped)), {
          type: "success",
          transaction,
          mapped,
          unknownRequired: [],
        });
      }),
    );
  });

  it("are refused when any bit was flipped on the way, unless the flip hides the fingerprint itself", () => {
    const answer = encodeBindingSuccess(TRANSACTION, parseAddress("192.0.2.1", 32853));
    for (const message of [encodeBindingRequest(TRANSACTION), answer]) {
      const fingerprintType = (message.length - 8) * 8;
      for (let bit = 0; bit < message.length * 8; bit++) {
        if (bit >= fingerprintType && bit < fingerprintType + 16) continue;
        const flipped = Buffer.from(message);
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        assert.equal(parseStun(flipped), undefined, `bit ${bit}`);
      }
    }
  });
});

describe("STUN: what is refused", () => {
  const bare = hex("00010000 2112a442 b7e7a701bc34d686fa87dfae");

  it("takes a request without any attribute", () => {
    assert.deepEqual(parseStun(bare), { type: "request", transaction: TRANSACTION, unknownRequired: [] });
  });

  const wrong: Record<string, Buffer> = {
    "another cookie": hex("00010000 2112a443 b7e7a701bc34d686fa87dfae"),
    "a first byte above 3f": hex("40010000 2112a442 b7e7a701bc34d686fa87dfae"),
    "a head that is cut": bare.subarray(0, 19),
    "a length that is not what came": hex("00010004 2112a442 b7e7a701bc34d686fa87dfae"),
    "an indication": hex("00110000 2112a442 b7e7a701bc34d686fa87dfae"),
    "an error answer": hex("01110000 2112a442 b7e7a701bc34d686fa87dfae"),
    "a success without an address": hex("01010000 2112a442 b7e7a701bc34d686fa87dfae"),
    "half an attribute head": withLength(Buffer.concat([bare, hex("8022")])),
    "a value that reaches behind the end": withLength(Buffer.concat([bare, hex("80220005 00000000")])),
    "a value without its padding": withLength(Buffer.concat([bare, hex("80220001 00")])),
    "anything behind the fingerprint": withLength(Buffer.concat([encodeBindingRequest(TRANSACTION), hex("80220000")])),
    "an address of an unknown family": withLength(
      Buffer.concat([hex("01010000 2112a442"), TRANSACTION, hex("00200008 0003a147e112a643")]),
    ),
    "an IPv6 address of four bytes": withLength(
      Buffer.concat([hex("01010000 2112a442"), TRANSACTION, hex("00200008 0002a147e112a643")]),
    ),
  };
  for (const [what, message] of Object.entries(wrong)) {
    it(`lets go ${what}`, () => assert.equal(parseStun(message), undefined));
  }

  it("does not look at what stands behind the integrity", () => {
    const integrity = hex("00080014 0000000000000000000000000000000000000000");
    const unknownBehind = withLength(Buffer.concat([bare, integrity, hex("00240004 6e0001ff")]));
    assert.deepEqual(parseStun(unknownBehind), { type: "request", transaction: TRANSACTION, unknownRequired: [] });
  });

  it("never throws, whatever comes", () => {
    const dressed = fc.tuple(fc.constantFrom("0001", "0101"), fc.uint8Array({ maxLength: 80 })).map(([type, rest]) => {
      return withLength(Buffer.concat([hex(type), hex("0000 2112a442"), TRANSACTION, rest]));
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), dressed), (bytes) => {
        const parsed = parseStun(bytes);
        assert.ok(parsed === undefined || parsed.transaction.length === 12);
      }),
      { numRuns: 500 },
    );
  });
});

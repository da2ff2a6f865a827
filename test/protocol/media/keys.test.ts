import assert from "node:assert/strict";
import { labelled, transcript } from "@feldfon/protocol/crypto/transcript";
import { sas } from "@feldfon/protocol/media/keys";
import { PACKET_BYTES, parseRtpHeader } from "@feldfon/protocol/media/packet";
import { mediaProfile } from "@feldfon/protocol/media/profile";
import { testingVault } from "@feldfon/vault/testing";
import fc from "fast-check";

const th = Buffer.alloc(32, 5);

/** A packet as the vault makes it, the third of A. */
function thirdPacket(): Buffer {
  const vault = testingVault();
  const sender = vault.srtpSender(vault.import("packet-seal", Buffer.alloc(44, 1)), mediaProfile(th, "A"));
  sender.seal(Buffer.alloc(640), 0);
  sender.seal(Buffer.alloc(640), 320);
  return sender.seal(Buffer.alloc(640), 640);
}

describe("SAS", () => {
  it("is the first 30 bits, most significant first", () => {
    const bits = "000001 000010 111111 000000 100001 11".replaceAll(" ", "");
    const first = Buffer.from([0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)));
    assert.deepEqual(sas(Buffer.concat([first, Buffer.alloc(28, 0xff)])), [1, 2, 63, 0, 33]);
  });

  it("does not depend on what is behind them", () => {
    const a = Buffer.concat([Buffer.from("ffffffff", "hex"), Buffer.alloc(28, 0)]);
    const b = Buffer.concat([Buffer.from("fffffffc", "hex"), Buffer.alloc(28, 1)]);
    assert.deepEqual(sas(a), [63, 63, 63, 63, 63]);
    assert.deepEqual(sas(b), sas(a));
  });

  it("is five numbers 00..63 that give the 30 bits back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (t) => {
        const numbers = sas(t);
        assert.ok(numbers.every((number) => Number.isInteger(number) && number >= 0 && number < 64));
        const back = numbers.reduce((sum, number) => sum * 64 + number, 0);
        assert.equal(back, Math.floor(Buffer.from(t).readUInt32BE() / 4));
      }),
    );
  });

  it("takes a whole hash only", () => {
    assert.throws(() => sas(Buffer.alloc(4)), { name: "ProtocolError", code: "malformed" });
    assert.equal(sas(transcript("sas", Buffer.of(1))).length, 5);
  });
});

describe("Media profile", () => {
  it("gives caller and callee their own SSRC and label, and TH as salt", () => {
    assert.deepEqual(mediaProfile(th, "A"), { ssrc: 1, ratchet: { salt: th, info: labelled("ratchet A", th) } });
    assert.deepEqual(mediaProfile(th, "B"), { ssrc: 2, ratchet: { salt: th, info: labelled("ratchet B", th) } });
  });
});

describe("Voice packet", () => {
  it("has 668 bytes and says in its header what wire.md draws", () => {
    const packet = thirdPacket();
    assert.equal(packet.length, PACKET_BYTES);
    assert.equal(PACKET_BYTES, 668);
    assert.deepEqual(parseRtpHeader(packet), { sequence: 2, timestamp: 640, ssrc: 1 });
  });

  it("is not found in anything else", () => {
    const packet = thirdPacket();
    assert.equal(parseRtpHeader(packet.subarray(0, 27)), undefined);
    for (const [at, value] of [
      [0, 0x90],
      [1, 0xe0],
    ] as const) {
      const other = Buffer.from(packet);
      other[at] = value;
      assert.equal(parseRtpHeader(other), undefined);
    }
  });
});

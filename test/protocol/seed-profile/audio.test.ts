import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  addDynamicPadding,
  decryptAudioChunk,
  decryptCbc,
  dynamicPaddingBytes,
  encryptAudioChunk,
  encryptCbc,
  removeDynamicPadding,
} from "@feldfon/protocol/seed-profile/audio";
import fc from "fast-check";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8"));
const unreadable = { name: "ProtocolError", code: "unreadable" };
const secret = { iv: Buffer.from(vectors.secret.iv, "hex"), key: Buffer.from(vectors.secret.key, "hex") };
const anySecret = fc
  .record({ iv: fc.uint8Array({ minLength: 16, maxLength: 16 }), key: fc.uint8Array({ minLength: 32, maxLength: 32 }) })
  .map(({ iv, key }) => ({ iv: Buffer.from(iv), key: Buffer.from(key) }));

describe("AES-256-CBC with PKCS#7", () => {
  for (const { text, data } of vectors.cbc.good) {
    it(`turns ${text} into the recorded bytes and back`, () => {
      assert.equal(encryptCbc(Buffer.from(text), secret).toString("hex"), data);
      assert.equal(decryptCbc(Buffer.from(data, "hex"), secret).toString(), text);
    });
  }

  it("refuses what is no whole number of blocks, nothing, and a wrong padding", () => {
    const data = encryptCbc(Buffer.from("hello"), secret);
    for (const wrong of [
      data.subarray(1),
      Buffer.concat([data, data.subarray(0, 5)]),
      Buffer.alloc(0),
      Buffer.alloc(16),
    ]) {
      assert.throws(() => decryptCbc(wrong, secret), unreadable);
    }
  });

  for (const { cut, iv, key } of vectors.secret.wrong) {
    it(`does not open with a secret cut at ${cut}`, () => {
      const data = encryptCbc(Buffer.from("hello"), secret);
      assert.throws(() => decryptCbc(data, { iv: Buffer.from(iv, "hex"), key: Buffer.from(key, "hex") }), unreadable);
    });
  }
});

describe("dynamic padding", () => {
  for (const { key, bytes } of vectors.padding.lengths) {
    it(`is ${bytes} long for the key ${key.slice(0, 8)}..`, () => {
      assert.equal(dynamicPaddingBytes(Buffer.from(key, "hex")), bytes);
      assert.deepEqual(
        addDynamicPadding(Buffer.from("x"), Buffer.from(key, "hex")),
        Buffer.concat([Buffer.from("x"), Buffer.alloc(bytes, bytes)]),
      );
    });
  }

  it("is taken off as it was put on, for any data and key", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), anySecret, (data, { key }) => {
        assert.deepEqual(removeDynamicPadding(addDynamicPadding(data, key), key), Buffer.from(data));
      }),
    );
  });

  it("is refused with any of its bytes changed, too short, or of another key", () => {
    const padded = addDynamicPadding(Buffer.from("hello"), secret.key);
    for (let byte = 5; byte < padded.length; byte++) {
      const changed = Buffer.from(padded);
      changed[byte]! ^= 1;
      assert.throws(() => removeDynamicPadding(changed, secret.key), unreadable);
    }
    assert.throws(() => removeDynamicPadding(padded.subarray(0, -1), secret.key), unreadable);
    assert.throws(() => removeDynamicPadding(padded.subarray(6), secret.key), unreadable);
    assert.throws(() => removeDynamicPadding(Buffer.alloc(0), secret.key), unreadable);
    assert.throws(() => removeDynamicPadding(padded, Buffer.alloc(32)), unreadable);
  });
});

describe("an audio chunk", () => {
  for (const { text, data } of vectors.padding.chunks) {
    it(`of "${text}" becomes the recorded bytes`, () => {
      assert.equal(encryptAudioChunk(Buffer.from(text), secret).toString("hex"), data);
      assert.equal(decryptAudioChunk(Buffer.from(data, "hex"), secret).toString(), text);
    });
  }

  it("of 23 ms of silence becomes the recorded 2,064 bytes", () => {
    const { chunkBytes, paddedBytes, dataBytes, sha256 } = vectors.padding.silence;
    assert.equal(addDynamicPadding(Buffer.alloc(chunkBytes), secret.key).length, paddedBytes);
    const data = encryptAudioChunk(Buffer.alloc(chunkBytes), secret);
    assert.equal(data.length, dataBytes);
    assert.equal(hash("sha256", data, "hex"), sha256);
  });

  it("of any length comes back, under any secret", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2100 }), anySecret, (chunk, secret) => {
        assert.deepEqual(decryptAudioChunk(encryptAudioChunk(chunk, secret), secret), Buffer.from(chunk));
      }),
    );
  });

  it("is refused when its padding is tampered with: any bit of the last block, or of the one before it behind the voice", () => {
    const chunk = Buffer.alloc(20, 1); // 20 + 10 + 2: the padding fills the last block from its fifth byte on
    const data = encryptAudioChunk(chunk, secret);
    assert.equal(data.length, 32);
    const flipped = (bit: number) => {
      const changed = Buffer.from(data);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      return changed;
    };
    for (let bit = 16 * 8; bit < 32 * 8; bit++)
      assert.throws(() => decryptAudioChunk(flipped(bit), secret), unreadable);
    for (let bit = 4 * 8; bit < 16 * 8; bit++) assert.throws(() => decryptAudioChunk(flipped(bit), secret), unreadable);
  });

  it("does not open when it is cut", () => {
    const data = encryptAudioChunk(Buffer.alloc(100, 1), secret);
    for (const wrong of [data.subarray(0, -16), data.subarray(0, -1), Buffer.alloc(0)]) {
      assert.throws(() => decryptAudioChunk(wrong, secret), unreadable);
    }
  });

  it("is NOT protected before its padding: a changed bit opens as other voice, which is why the product uses GCM", () => {
    const chunk = Buffer.alloc(100, 1);
    const data = encryptAudioChunk(chunk, secret);
    data[0]! ^= 1;
    const opened = decryptAudioChunk(data, secret);
    assert.equal(opened.length, chunk.length);
    assert.notDeepEqual(opened, chunk);
  });
});

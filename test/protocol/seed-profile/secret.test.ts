import assert from "node:assert/strict";
import { type KeyObject, publicEncrypt, randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import type { PublicKey } from "@feldfon/protocol/identity";
import {
  BLOCK_BYTES,
  diskEntropy,
  extractSecret,
  generateSecret,
  PREFIX,
  secretBlock,
  unwrapSecret,
  wrapSecret,
} from "@feldfon/protocol/seed-profile/secret";
import fc from "fast-check";
import { withZeroFirst } from "../../keys.ts";
import { ownerOf } from "./owner.ts";

const vectors = JSON.parse(readFileSync(new URL("../../vectors/seeds.json", import.meta.url), "utf8")).secret;
const unreadable = { name: "ProtocolError", code: "unreadable" };
const block = Buffer.from(vectors.block, "hex");
const bytes = block.subarray(PREFIX.length);

describe("the seed's 48-byte secret", () => {
  it("stands behind a prefix of 12 bytes", () => {
    assert.equal(PREFIX.toString("hex"), vectors.prefix);
    assert.equal(BLOCK_BYTES, 60);
    const secret = extractSecret(block);
    assert.deepEqual(secret, { iv: Buffer.from(vectors.iv, "hex"), key: Buffer.from(vectors.key, "hex") });
    assert.deepEqual(secretBlock(secret), block);
  });

  for (const { cut, iv, key } of vectors.wrong) {
    it(`is not what a cut at ${cut} gives, and a block made for that cut is refused`, () => {
      const secret = extractSecret(block);
      const wrong = block.subarray(cut, cut + 48);
      assert.deepEqual([wrong.subarray(0, 16).toString("hex"), wrong.subarray(16).toString("hex")], [iv, key]);
      assert.notEqual(secret.iv.toString("hex"), iv);
      assert.notEqual(secret.key.toString("hex"), key);
      const prefix = Buffer.concat([PREFIX, Buffer.from("+")]).subarray(0, cut);
      assert.throws(() => extractSecret(Buffer.concat([prefix, bytes])), unreadable);
      assert.throws(() => extractSecret(wrong), unreadable);
    });
  }

  it("is refused behind another prefix, none, or with another length", () => {
    const others = [
      Buffer.concat([Buffer.from(vectors.brokeredPrefix, "hex"), bytes]),
      Buffer.concat([Buffer.from("+++SECRET+++"), bytes]),
      Buffer.concat([Buffer.of(0), block]),
      Buffer.concat([block, Buffer.of(0)]),
      block.subarray(0, -1),
      bytes,
      PREFIX,
      Buffer.alloc(0),
    ];
    for (const other of others) assert.throws(() => extractSecret(other), unreadable);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (any) => assert.throws(() => extractSecret(any), unreadable)),
    );
  });

  it("is refused with any bit of its prefix flipped", () => {
    for (let bit = 0; bit < PREFIX.length * 8; bit++) {
      const changed = Buffer.from(block);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => extractSecret(changed), unreadable);
    }
  });
});

describe("a fresh secret", () => {
  it("is as good as the better of its two sources", () => {
    const good = randomBytes(48);
    const constant = (bytes: number) => Buffer.alloc(bytes, 0xa5);
    const expected = Buffer.from(good.map((byte) => byte ^ 0xa5));
    for (const secret of [generateSecret(() => good, constant), generateSecret(constant, () => good)]) {
      assert.deepEqual(Buffer.concat([secret.iv, secret.key]), expected);
    }
    assert.notDeepEqual(generateSecret(randomBytes, constant), generateSecret(randomBytes, constant));
  });

  it("is not made when a source gives too little", () => {
    assert.throws(() => generateSecret(randomBytes, () => randomBytes(47)), unreadable);
    assert.throws(() => generateSecret(() => Buffer.alloc(0), randomBytes), unreadable);
  });

  it("takes its disk part from a device", () => {
    const fromDevice = (bytes: number) => {
      const device = openSync("/dev/urandom", "r");
      try {
        const found = Buffer.alloc(bytes);
        return found.subarray(0, readSync(device, found, 0, bytes, null));
      } finally {
        closeSync(device);
      }
    };
    const refuse = () => assert.fail("the fallback was asked");
    const one = diskEntropy(48, fromDevice, refuse);
    assert.equal(one.length, 48);
    assert.notDeepEqual(one, diskEntropy(48, fromDevice, refuse));
  });

  it("takes it from the system when there is no such device, or too little in it", () => {
    const fallback = (bytes: number) => Buffer.alloc(bytes, 7);
    const noDevice = (): Buffer => {
      throw new Error("ENOENT");
    };
    assert.deepEqual(diskEntropy(16, noDevice, fallback), Buffer.alloc(16, 7));
    assert.deepEqual(
      diskEntropy(16, () => Buffer.alloc(15), fallback),
      Buffer.alloc(16, 7),
    );
    assert.equal(diskEntropy(16, noDevice).length, 16);
  });
});

describe("a wrapped secret", () => {
  let alice: { key: PublicKey; privateKey: KeyObject };
  let bob: { key: PublicKey; privateKey: KeyObject };
  const secret = extractSecret(block);

  before(async function () {
    this.timeout(60_000);
    [alice, bob] = await Promise.all([ownerOf(0), ownerOf(1)]);
  });

  it("has 512 bytes, each time others, and opens for its owner only", () => {
    const wrapped = wrapSecret(secret, alice.key);
    assert.equal(wrapped.length, 512);
    assert.notDeepEqual(wrapped, wrapSecret(secret, alice.key));
    assert.deepEqual(unwrapSecret(wrapped, alice.privateKey), secret);
    assert.throws(() => unwrapSecret(wrapped, bob.privateKey), unreadable);
  });

  it("is refused with one sentence, whatever is wrong with it", () => {
    const wrapped = wrapSecret(secret, alice.key);
    const changed = Buffer.from(wrapped);
    changed[100]! ^= 1;
    const withoutPrefix = publicEncrypt({ key: alice.key.pem, oaepHash: "sha256" }, bytes);
    const underSha1 = publicEncrypt({ key: alice.key.pem, oaepHash: "sha1" }, block);
    const sentences = [
      changed,
      withoutPrefix,
      underSha1,
      wrapped.subarray(1),
      withZeroFirst(() => wrapSecret(secret, alice.key)).subarray(1),
      Buffer.alloc(0),
      Buffer.alloc(512, 0xff),
    ].map((wrong) => {
      try {
        unwrapSecret(wrong, alice.privateKey);
        return "opened";
      } catch (error) {
        return (error as Error).message;
      }
    });
    assert.deepEqual(new Set(sentences), new Set(["a wrapped secret came that this key does not open"]));
  });
});

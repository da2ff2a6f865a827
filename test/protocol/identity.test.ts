import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  PublicKey,
  parseUid,
  readPublicKey,
  SPKI_BYTES,
  uidBytes,
  uidFromBytes,
  uidOfSshLine,
} from "@feldfon/protocol/identity";
import fc from "fast-check";
import { keyPath } from "../keys.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/seeds.json", import.meta.url), "utf8")).uid;
const keyBad = { name: "ProtocolError", code: "key-bad" };
const badUid = { name: "ProtocolError", code: "bad-uid" };

/** DER: tag, length in the shortest form (or the form asked for), content (X.690 §8.1). */
function der(tag: number, content: Uint8Array, lengthBytes?: number): Buffer {
  const digits = content.length.toString(16);
  const shortest = content.length < 128 ? 0 : Math.ceil(digits.length / 2);
  const bytes = lengthBytes ?? shortest;
  const length =
    bytes === 0 ? [content.length] : [0x80 | bytes, ...Buffer.from(digits.padStart(bytes * 2, "0"), "hex")];
  return Buffer.concat([Buffer.of(tag), Buffer.from(length), content]);
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const SEQUENCE = 0x30;
const rsaEncryption = Buffer.from("06092a864886f70d010101", "hex");
const noParameters = Buffer.from("0500", "hex");

/** A SubjectPublicKeyInfo of these integers, byte for byte as they are given. */
function spkiOf(
  modulus: Uint8Array,
  exponent: Uint8Array,
  algorithm: Uint8Array = Buffer.concat([rsaEncryption, noParameters]),
): Buffer {
  const key = der(SEQUENCE, Buffer.concat([der(INTEGER, modulus), der(INTEGER, exponent)]));
  return der(SEQUENCE, Buffer.concat([der(SEQUENCE, algorithm), der(BIT_STRING, Buffer.concat([Buffer.of(0), key]))]));
}

describe("a uid", () => {
  it("is the SHA-256 of a key's OpenSSH line (seed 001)", () => {
    assert.equal(uidOfSshLine(vectors.line), vectors.uid);
  });

  it("is 64 lower-case hex digits and nothing else", () => {
    assert.equal(parseUid(vectors.uid), vectors.uid);
    for (const text of [
      "",
      vectors.uid.slice(1),
      `${vectors.uid}0`,
      vectors.uid.toUpperCase(),
      `${vectors.uid}\n`,
      ` ${vectors.uid}`,
    ]) {
      assert.throws(() => parseUid(text), badUid);
    }
    fc.assert(fc.property(fc.string(), (text) => assert.throws(() => parseUid(text), badUid)));
  });

  it("has 32 bytes on the wire", () => {
    const uid = parseUid(vectors.uid);
    assert.equal(uidBytes(uid).length, 32);
    assert.equal(uidFromBytes(uidBytes(uid)), uid);
    assert.throws(() => uidFromBytes(Buffer.alloc(31)), badUid);
    assert.throws(() => uidFromBytes(Buffer.alloc(33)), badUid);
  });
});

describe("a public key", () => {
  let privatePem: string;
  let keyObject: KeyObject;
  let spki: Buffer;
  let modulus: Buffer;

  before(async function () {
    this.timeout(60_000);
    privatePem = readFileSync(await keyPath(0), "utf8");
    keyObject = createPublicKey(privatePem);
    spki = keyObject.export({ type: "spki", format: "der" });
    modulus = Buffer.from(keyObject.export({ format: "jwk" }).n!, "base64url");
  });

  it("is what node:crypto exports", () => {
    const key = new PublicKey(spki);
    assert.equal(spki.length, SPKI_BYTES);
    assert.deepEqual(key.spki, spki);
    assert.equal(key.pem, keyObject.export({ type: "spki", format: "pem" }));
    assert.deepEqual(spkiOf(Buffer.concat([Buffer.of(0), modulus]), Buffer.from("010001", "hex")), spki);
  });

  it("keeps its own bytes", () => {
    const lent = Buffer.from(spki);
    const key = new PublicKey(lent);
    lent.fill(0);
    assert.deepEqual(key.spki, spki);
  });

  it("has the line that ssh-keygen writes, and its uid", function () {
    const folder = mkdtempSync(path.join(tmpdir(), "feldfon-"));
    try {
      const file = path.join(folder, "key.pem");
      writeFileSync(file, keyObject.export({ type: "spki", format: "pem" }));
      const line = execFileSync("ssh-keygen", ["-i", "-m", "PKCS8", "-f", file], { encoding: "utf8" }).trim();
      const key = new PublicKey(spki);
      assert.equal(key.sshLine, line);
      assert.equal(key.uid, hash("sha256", line, "hex"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") this.skip(); // no OpenSSH on this machine
      throw error;
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("has a line of type, exponent and positive modulus (RFC 4253 6.6), and the uid of that line", () => {
    const key = new PublicKey(spki);
    const blob = Buffer.from(key.sshLine.replace(/^ssh-rsa /, ""), "base64");
    const parts = [
      "00000007",
      Buffer.from("ssh-rsa").toString("hex"),
      "00000003",
      "010001",
      "00000201",
      "00",
      modulus.toString("hex"),
    ];
    assert.equal(blob.toString("hex"), parts.join(""));
    assert.equal(key.uid, hash("sha256", key.sshLine, "hex"));
  });

  it("is read from PEM, base64 DER and an OpenSSH line, with whatever comment or line ends", () => {
    const key = new PublicKey(spki);
    const texts = [
      key.pem,
      key.pem.replaceAll("\n", "\r\n"),
      `a comment\n${key.pem}`,
      spki.toString("base64"),
      ` ${spki.toString("base64")}\n`,
      key.sshLine,
      `${key.sshLine} somebody@somewhere\n`,
    ];
    for (const text of texts) assert.equal(readPublicKey(text).uid, key.uid);
  });

  it("is not read from text that holds no such key", () => {
    const key = new PublicKey(spki);
    const texts = [
      "",
      "ssh-rsa AAA",
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",
      key.sshLine.slice(0, -4),
      `${key.sshLine.slice(0, -8)}!${key.sshLine.slice(-8)}`,
      `${key.sshLine}!`,
      key.pem.replace("PUBLIC", "PRIVATE"),
      key.pem.replace("\n", "\n!"),
      key.pem.replace("-----END PUBLIC KEY-----", ""),
      privatePem,
      `${spki.toString("base64")}AAAA`,
      spki.toString("hex"),
      `${spki.toString("base64").slice(0, 9)}!${spki.toString("base64").slice(9)}`,
      "é".repeat(2000),
    ];
    for (const text of texts) assert.throws(() => readPublicKey(text), keyBad);
    fc.assert(fc.property(fc.string(), (text) => assert.throws(() => readPublicKey(text), keyBad)));
  });

  it("has one lawful form: every bit outside the modulus, flipped, is refused", () => {
    const inModulus = (byte: number) => byte >= 33 && byte < 33 + 512;
    for (let bit = 0; bit < spki.length * 8; bit++) {
      if (inModulus(bit >> 3)) continue;
      const bytes = Buffer.from(spki);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      assert.throws(() => new PublicKey(bytes), keyBad);
    }
  });

  it("has a modulus of exactly 4,096 bits, positive and odd", () => {
    const bytes = Buffer.from(spki);
    bytes[33]! &= 0x7f;
    assert.throws(() => new PublicKey(bytes), keyBad);
    const even = Buffer.from(spki);
    even[33 + 511]! &= 0xfe;
    assert.throws(() => new PublicKey(even), keyBad);
  });

  it("is refused in other encodings of the same key", () => {
    const positive = Buffer.concat([Buffer.of(0), modulus]);
    const e = Buffer.from("010001", "hex");
    const key = (lengthBytes?: number) =>
      der(SEQUENCE, Buffer.concat([der(INTEGER, positive, lengthBytes), der(INTEGER, e)]));
    const algorithm = der(SEQUENCE, Buffer.concat([rsaEncryption, noParameters]));
    const whole = (key: Buffer, unusedBits = 0) =>
      der(SEQUENCE, Buffer.concat([algorithm, der(BIT_STRING, Buffer.concat([Buffer.of(unusedBits), key]))]));
    assert.deepEqual(whole(key()), spki);

    const others: Record<string, Buffer> = {
      "a length in three bytes where two do (BER)": whole(key(3)),
      "the outer length in four bytes (BER)": Buffer.concat([Buffer.from("308400000222", "hex"), spki.subarray(4)]),
      "an indefinite length (BER)": Buffer.concat([Buffer.from("3080", "hex"), spki.subarray(4), Buffer.alloc(2)]),
      "a short length in long form (BER)": spkiOf(
        positive,
        e,
        Buffer.concat([Buffer.from("0681092a864886f70d010101", "hex"), noParameters]),
      ),
      "two leading zeros in the modulus": spkiOf(Buffer.concat([Buffer.alloc(2), modulus]), e),
      "a leading zero in the exponent": spkiOf(positive, Buffer.from("00010001", "hex")),
      "a negative modulus": spkiOf(modulus, e),
      "no parameters": spkiOf(positive, e, rsaEncryption),
      "the OID of RSASSA-PSS": spkiOf(positive, e, Buffer.from("06092a864886f70d01010a", "hex")),
      "unused bits": whole(key(), 1),
      "PKCS#1 without its envelope": keyObject.export({ type: "pkcs1", format: "der" }),
      "a byte behind it": Buffer.concat([spki, Buffer.of(0)]),
      "a byte behind the modulus": Buffer.concat([spki.subarray(0, -5), Buffer.of(1), spki.subarray(-5)]),
      "a byte before it": Buffer.concat([Buffer.of(0), spki]),
      "all but its last byte": spki.subarray(0, -1),
      nothing: Buffer.alloc(0),
    };
    for (const [what, bytes] of Object.entries(others)) assert.throws(() => new PublicKey(bytes), keyBad, what);
  });

  it("is refused with another exponent", () => {
    const positive = Buffer.concat([Buffer.of(0), modulus]);
    for (const exponent of ["03", "11", "010003", "00", "01", "ff", "0100010001"]) {
      assert.throws(() => new PublicKey(spkiOf(positive, Buffer.from(exponent, "hex"))), keyBad, exponent);
    }
  });

  it("is refused with 2048, 4088, 4095, 4097 and 8192 bits, and when it is no RSA key", () => {
    const e = Buffer.from("010001", "hex");
    for (const modulusBytes of [256, 511, 1024]) {
      const positive = Buffer.concat([Buffer.of(0), Buffer.alloc(modulusBytes, 0xff)]);
      assert.throws(() => new PublicKey(spkiOf(positive, e)), keyBad, `${modulusBytes * 8} bits`);
    }
    assert.throws(() => new PublicKey(spkiOf(Buffer.alloc(512, 0x7f), e)), keyBad, "4095 bits");
    assert.throws(() => new PublicKey(spkiOf(Buffer.concat([Buffer.of(1), modulus]), e)), keyBad, "4097 bits");
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" });
    assert.throws(() => new PublicKey(ec), keyBad);
  });

  it("is refused in random bytes, also behind the right head", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => assert.throws(() => new PublicKey(bytes), keyBad)),
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: SPKI_BYTES - 33, maxLength: SPKI_BYTES - 33 }), (bytes) => {
        bytes.set([2, 3, 1, 0, 3], bytes.length - 5);
        assert.throws(() => new PublicKey(Buffer.concat([spki.subarray(0, 33), bytes])), keyBad);
      }),
    );
  });

  describe("holds a signature", () => {
    const message = Buffer.from("feldfon/1 test");
    const signed = (saltLength: number, padding = constants.RSA_PKCS1_PSS_PADDING) =>
      sign("sha256", message, { key: privatePem, padding, saltLength });

    it("that is PSS with a salt of 32 bytes, and no other", () => {
      const key = new PublicKey(spki);
      assert.equal(key.verifies(message, signed(32)), true);
      assert.equal(key.verifies(message, signed(20)), false);
      assert.equal(key.verifies(message, signed(constants.RSA_PSS_SALTLEN_MAX_SIGN)), false);
      assert.equal(
        key.verifies(message, sign("sha256", message, { key: privatePem, padding: constants.RSA_PKCS1_PADDING })),
        false,
      );
      assert.equal(
        key.verifies(
          message,
          sign("sha384", message, { key: privatePem, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }),
        ),
        false,
      );
    });

    it("of this message and this key only", async () => {
      const key = new PublicKey(spki);
      const signature = signed(32);
      assert.equal(key.verifies(Buffer.from("feldfon/1 tesT"), signature), false);
      const other = createPublicKey(readFileSync(await keyPath(1), "utf8")).export({ type: "spki", format: "der" });
      assert.equal(new PublicKey(other).verifies(message, signature), false);
    });

    it("also when it was not asked for long, and other keys were meanwhile", () => {
      const key = new PublicKey(spki);
      const signature = signed(32);
      assert.equal(key.verifies(message, signature), true);
      for (let other = 0; other < 100; other++)
        assert.equal(new PublicKey(key.spki).verifies(message, signature), true);
      assert.equal(key.verifies(message, signature), true);
      assert.equal(key.verifies(message, Buffer.concat([signature.subarray(1), Buffer.of(0)])), false);
    });

    it("of 512 bytes, none of them changed", () => {
      const key = new PublicKey(spki);
      const signature = signed(32);
      for (let byte = 0; byte < signature.length; byte += 37) {
        const changed = Buffer.from(signature);
        changed[byte]! ^= 1;
        assert.equal(key.verifies(message, changed), false);
      }
      assert.equal(key.verifies(message, signature.subarray(1)), false);
      assert.equal(key.verifies(message, Buffer.concat([signature, Buffer.of(0)])), false);
      assert.equal(key.verifies(message, Buffer.alloc(512, 0xff)), false);
      assert.equal(key.verifies(message, Buffer.alloc(0)), false);
    });
  });
});

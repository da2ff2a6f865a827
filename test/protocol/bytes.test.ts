import assert from "node:assert/strict";
import { ByteReader, concat, equalBytes, lp, u8, u16, u32, u64 } from "@feldfon/protocol/bytes";
import fc from "fast-check";

const malformed = { name: "ProtocolError", code: "malformed" };

describe("integers on the wire", () => {
  it("stand there with the highest byte first", () => {
    assert.equal(u8(0x0a).toString("hex"), "0a");
    assert.equal(u16(0x0a0b).toString("hex"), "0a0b");
    assert.equal(u32(0x0a0b0c0d).toString("hex"), "0a0b0c0d");
    assert.equal(u64(0x0a0b0c0d0e0f).toString("hex"), "00000a0b0c0d0e0f");
    assert.equal(u64(Number.MAX_SAFE_INTEGER).toString("hex"), "001fffffffffffff");
  });

  it("are read as they were written", () => {
    fc.assert(
      fc.property(
        fc.nat(0xff),
        fc.nat(0xffff),
        fc.nat(0xffffffff),
        fc.maxSafeNat(),
        (a: number, b: number, c: number, d: number) => {
          const reader = new ByteReader(concat(u8(a), u16(b), u32(c), u64(d)), "test");
          assert.deepEqual([reader.u8(), reader.u16(), reader.u32(), reader.u64()], [a, b, c, d]);
          reader.end();
        },
      ),
    );
  });

  it("are never cut to fit", () => {
    for (const write of [() => u8(256), () => u16(65_536), () => u32(2 ** 32), () => u64(2 ** 53)]) {
      assert.throws(write, RangeError);
    }
    for (const write of [u8, u16, u32, u64]) assert.throws(() => write(-1), RangeError);
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) assert.throws(() => u64(value), RangeError);
  });

  it("above 2^53 - 1 are refused, since a number would round them", () => {
    assert.throws(() => new ByteReader(Buffer.from("0020000000000000", "hex"), "test").u64(), malformed);
    assert.throws(() => new ByteReader(Buffer.alloc(8, 0xff), "test").u64(), malformed);
    assert.equal(new ByteReader(Buffer.from("001fffffffffffff", "hex"), "test").u64(), Number.MAX_SAFE_INTEGER);
  });
});

describe("LP(x)", () => {
  it("is the length in four bytes, then x", () => {
    assert.equal(lp(Buffer.from("hello")).toString("hex"), "0000000568656c6c6f");
    assert.equal(lp(Buffer.alloc(0)).toString("hex"), "00000000");
  });

  it("keeps any parts apart", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (parts) => {
        const reader = new ByteReader(concat(...parts.map(lp)), "test");
        for (const part of parts) assert.deepEqual(reader.lp(), Buffer.from(part));
        reader.end();
      }),
    );
  });

  it("is refused when it promises more than there is", () => {
    assert.throws(() => new ByteReader(Buffer.from("0000000568656c6c", "hex"), "test").lp(), malformed);
    assert.throws(() => new ByteReader(Buffer.from("ffffffff", "hex"), "test").lp(), malformed);
  });
});

describe("a reader of bytes", () => {
  const bytes = Buffer.from("000102030405060708", "hex");

  it("refuses to end while bytes are left over", () => {
    const reader = new ByteReader(bytes, "M1");
    reader.take(8);
    assert.equal(reader.left, 1);
    assert.throws(() => reader.end(), { ...malformed, message: "M1: 1 bytes left over" });
  });

  it("refuses to read past the end, and stays where it was", () => {
    const reader = new ByteReader(bytes, "M1");
    reader.take(5);
    assert.throws(() => reader.take(5), { ...malformed, message: "M1: 5 bytes wanted at 5, 4 left" });
    assert.deepEqual(reader.rest(), bytes.subarray(5));
    for (const read of [() => reader.u8(), () => reader.u16(), () => reader.u32(), () => reader.u64()]) {
      assert.throws(read, malformed);
    }
  });

  it("knows all bytes in front of a signature", () => {
    const reader = new ByteReader(bytes, "M1");
    assert.equal(reader.before.length, 0);
    reader.u16();
    reader.take(3);
    assert.deepEqual(reader.before, bytes.subarray(0, 5));
  });

  it("holds a version to its one lawful value", () => {
    new ByteReader(bytes, "M1").expect(Buffer.of(0, 1, 2));
    assert.throws(() => new ByteReader(bytes, "M1").expect(Buffer.of(1)), malformed);
    assert.throws(() => new ByteReader(Buffer.alloc(0), "M1").expect(Buffer.of(1)), malformed);
  });

  it("reads a part of a larger array and nothing around it", () => {
    const part = new Uint8Array(bytes).subarray(2, 5);
    assert.equal(new ByteReader(part, "test").rest().toString("hex"), "020304");
  });

  it("gives every byte exactly once, however it is asked", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(30)), (bytes, cuts) => {
        const reader = new ByteReader(bytes, "test");
        const taken: Buffer[] = [];
        for (const cut of cuts) if (cut <= reader.left) taken.push(reader.take(cut));
        taken.push(reader.rest());
        reader.end();
        assert.deepEqual(concat(...taken), Buffer.from(bytes));
      }),
    );
  });
});

describe("equal bytes", () => {
  it("have the same length and the same values", () => {
    assert.equal(equalBytes(Buffer.from("ab"), new Uint8Array([0x61, 0x62])), true);
    assert.equal(equalBytes(Buffer.from("ab"), Buffer.from("ac")), false);
    assert.equal(equalBytes(Buffer.from("ab"), Buffer.from("abc")), false);
    assert.equal(equalBytes(Buffer.alloc(0), Buffer.alloc(0)), true);
  });
});

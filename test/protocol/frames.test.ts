import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { concat, u32 } from "@feldfon/protocol/bytes";
import {
  encodeFrame,
  FrameReader,
  HEADER_BYTES,
  MAX_BODY_BYTES,
  MAX_UNPROVEN_BODY_BYTES,
} from "@feldfon/protocol/frames";
import fc from "fast-check";

const vectors = JSON.parse(readFileSync(new URL("../vectors/seeds.json", import.meta.url), "utf8")).frames;
const tooLong = { name: "ProtocolError", code: "frame-too-long" };

/** Hands `wire` over in pieces of these sizes, again from the first size when they are used up. */
function readInPieces(reader: FrameReader, wire: Buffer, sizes: readonly number[]): Buffer[] {
  const bodies: Buffer[] = [];
  for (let at = 0, n = 0; at < wire.length; n++) {
    const size = sizes[n % sizes.length]!;
    bodies.push(...reader.read(wire.subarray(at, at + size)));
    at += size;
  }
  return bodies;
}

describe("frames", () => {
  for (const { text, frame } of vectors.good) {
    it(`carry "${text}" as the seed does`, () => {
      assert.equal(encodeFrame(Buffer.from(text)).toString("hex"), frame);
      assert.deepEqual([...new FrameReader().read(Buffer.from(frame, "hex"))], [Buffer.from(text)]);
    });
  }

  it("are at most 10 MiB long", () => {
    assert.equal(u32(MAX_BODY_BYTES).toString("hex"), vectors.largestHeader);
    assert.equal(u32(MAX_BODY_BYTES + 1).toString("hex"), vectors.firstRefusedHeader);
    assert.equal(encodeFrame(Buffer.alloc(MAX_BODY_BYTES)).length, HEADER_BYTES + MAX_BODY_BYTES);
    assert.throws(() => encodeFrame(Buffer.alloc(MAX_BODY_BYTES + 1)), tooLong);
  });
});

describe("a reader of frames", () => {
  const body = Buffer.from("the same body twice");

  for (const size of [1, 3, HEADER_BYTES, 1024]) {
    it(`finds both frames when the wire delivers ${size} bytes at a time`, () => {
      const wire = concat(encodeFrame(body), encodeFrame(body));
      assert.deepEqual(readInPieces(new FrameReader(), wire, [size]), [body, body]);
    });
  }

  it("finds all frames, oldest first, however the wire cuts them", () => {
    const bodies = fc.array(fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)));
    fc.assert(
      fc.property(bodies, fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (bodies, sizes) => {
        const reader = new FrameReader();
        assert.deepEqual(readInPieces(reader, concat(...bodies.map(encodeFrame)), sizes), bodies);
        assert.equal(reader.pendingBytes, 0);
      }),
    );
  });

  it("takes empty pieces for what they are", () => {
    const reader = new FrameReader();
    const wire = encodeFrame(body);
    const bodies = [Buffer.alloc(0), wire.subarray(0, 2), Buffer.alloc(0), wire.subarray(2)].flatMap((piece) => [
      ...reader.read(piece),
    ]);
    assert.deepEqual(bodies, [body]);
  });

  it("copies nothing of a frame that came whole", () => {
    const wire = encodeFrame(body);
    const [found] = new FrameReader().read(wire);
    assert.equal(found?.buffer, wire.buffer);
    assert.deepEqual(found, body);
  });

  it("counts what a cut line leaves behind", () => {
    const reader = new FrameReader();
    const wire = encodeFrame(body);
    for (let bytes = 0; bytes < wire.length; bytes++) {
      assert.equal(reader.pendingBytes, bytes);
      assert.deepEqual([...reader.read(wire.subarray(bytes, bytes + 1))], bytes + 1 < wire.length ? [] : [body]);
    }
    assert.equal(reader.pendingBytes, 0);
  });

  it("takes 16 KiB from a peer that has not proven itself, and refuses one byte more from the header alone", () => {
    const largest = Buffer.alloc(MAX_UNPROVEN_BODY_BYTES, 1);
    assert.deepEqual([...new FrameReader().read(encodeFrame(largest))], [largest]);
    assert.throws(() => [...new FrameReader().read(u32(MAX_UNPROVEN_BODY_BYTES + 1))], tooLong);
  });

  it("takes 10 MiB from a proven peer, and refuses one byte more from the header alone", () => {
    const reader = new FrameReader();
    reader.maxBodyBytes = MAX_BODY_BYTES;
    const largest = Buffer.alloc(MAX_BODY_BYTES, 1);
    assert.equal(Buffer.compare([...reader.read(encodeFrame(largest))][0]!, largest), 0);
    assert.throws(() => [...reader.read(Buffer.from(vectors.firstRefusedHeader, "hex"))], tooLong);
    assert.throws(() => [...reader.read(u32(0xffffffff))], tooLong);
  });

  it("judges the frame behind the proof by the new limit, even when both come in one piece", () => {
    const reader = new FrameReader();
    const large = Buffer.alloc(MAX_UNPROVEN_BODY_BYTES + 1, 1);
    const lengths: number[] = [];
    for (const body of reader.read(concat(encodeFrame(Buffer.from("M4")), encodeFrame(large)))) {
      lengths.push(body.length);
      reader.maxBodyBytes = MAX_BODY_BYTES;
    }
    assert.deepEqual(lengths, [2, large.length]);
  });

  it("holds a frame to the limit of the moment its header came", () => {
    const reader = new FrameReader();
    reader.maxBodyBytes = MAX_BODY_BYTES;
    const large = Buffer.alloc(MAX_UNPROVEN_BODY_BYTES + 1, 1);
    const wire = encodeFrame(large);
    assert.deepEqual([...reader.read(wire.subarray(0, HEADER_BYTES))], []);
    reader.maxBodyBytes = MAX_UNPROVEN_BODY_BYTES;
    assert.deepEqual([...reader.read(wire.subarray(HEADER_BYTES))], [large]);
  });

  it("yields what came whole before a frame that is too long", () => {
    const bodies: Buffer[] = [];
    assert.throws(() => {
      for (const body of new FrameReader().read(concat(encodeFrame(Buffer.from("ok")), u32(0x00a00001))))
        bodies.push(body);
    }, tooLong);
    assert.deepEqual(bodies, [Buffer.from("ok")]);
  });
});

import assert from "node:assert/strict";
import { crc32, inflateSync } from "node:zlib";
import { FakeDisplay } from "@feldfon/hw/display/fake";
import { pngOf } from "@feldfon/hw/display/png";
import { displayContract } from "./contract.ts";

for (const [width, height] of [
  [240, 240],
  [320, 240],
] as const) {
  displayContract(`fake, ${width} x ${height}`, async () => {
    const display = new FakeDisplay(width, height);
    return { display, seen: () => display.picture };
  });
}

describe("png", () => {
  const few = Uint16Array.of(0xf800, 0x07e0, 0x001f, 0xffff, 0x0000, 0x8410);
  const many = Uint16Array.from({ length: 300 }, (_, i) => i * 200);

  function chunks(png: Buffer): { type: string; data: Buffer; check: number }[] {
    const found = [];
    for (let at = 8; at < png.length; ) {
      const length = png.readUInt32BE(at);
      const data = png.subarray(at + 8, at + 8 + length);
      found.push({ type: png.toString("latin1", at + 4, at + 8), data, check: png.readUInt32BE(at + 8 + length) });
      at += 12 + length;
    }
    return found;
  }

  for (const [frame, width, height, types] of [
    [few, 3, 2, ["IHDR", "PLTE", "IDAT", "IEND"]],
    [many, 20, 15, ["IHDR", "IDAT", "IEND"]],
  ] as const) {
    it(`is a PNG file of ${types.join(", ")} whose check sums hold, for ${frame.length} colours`, () => {
      const png = pngOf(frame, width, height);
      assert.equal(png.toString("hex", 0, 8), "89504e470d0a1a0a");
      assert.deepEqual(
        chunks(png).map(({ type }) => type),
        types,
      );
      for (const { type, data, check } of chunks(png)) {
        assert.equal(crc32(Buffer.concat([Buffer.from(type), data])), check);
      }
    });
  }

  it("names few colours in a palette, widened to eight bits: black to black, white to white", () => {
    const [head, palette, data] = chunks(pngOf(few, 3, 2));
    assert.deepEqual([...head!.data], [0, 0, 0, 3, 0, 0, 0, 2, 8, 3, 0, 0, 0]);
    const colours = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 132, 130, 132];
    assert.deepEqual([...palette!.data], colours);
    assert.deepEqual([...inflateSync(data!.data)], [0, 0, 1, 2, 0, 3, 4, 5]);
  });

  it("gives each pixel of many colours its own three bytes", () => {
    const [head, data] = chunks(pngOf(many, 20, 15));
    assert.deepEqual([...head!.data], [0, 0, 0, 20, 0, 0, 0, 15, 8, 2, 0, 0, 0]);
    const bytes = inflateSync(data!.data);
    assert.equal(bytes.length, 15 * 61);
    // Pixel 299 is 59,800: 11101 001100 11000.
    assert.deepEqual([...bytes.subarray(-3)], [0b11101111, 0b00110000, 0b11000110]);
  });
});

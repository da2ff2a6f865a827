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
  const png = pngOf(Uint16Array.of(0xf800, 0x07e0, 0x001f, 0xffff, 0x0000, 0x8410), 3, 2);

  function chunks(): { type: string; data: Buffer; check: number }[] {
    const found = [];
    for (let at = 8; at < png.length; ) {
      const length = png.readUInt32BE(at);
      const data = png.subarray(at + 8, at + 8 + length);
      found.push({ type: png.toString("latin1", at + 4, at + 8), data, check: png.readUInt32BE(at + 8 + length) });
      at += 12 + length;
    }
    return found;
  }

  it("is a PNG file of three chunks whose check sums hold", () => {
    assert.equal(png.toString("hex", 0, 8), "89504e470d0a1a0a");
    assert.deepEqual(
      chunks().map(({ type }) => type),
      ["IHDR", "IDAT", "IEND"],
    );
    for (const { type, data, check } of chunks()) assert.equal(crc32(Buffer.concat([Buffer.from(type), data])), check);
  });

  it("widens each channel to eight bits, black to black and white to white", () => {
    const [head, data] = chunks();
    assert.deepEqual([...head!.data], [0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0]);
    const rows = [
      [0, 255, 0, 0, 0, 255, 0, 0, 0, 255],
      [0, 255, 255, 255, 0, 0, 0, 132, 130, 132],
    ];
    assert.deepEqual([...inflateSync(data!.data)], rows.flat());
  });
});

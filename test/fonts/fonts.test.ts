import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Atlas, atlasOf, encodeAtlas, FONT_SHA256, type Glyph, SIZES } from "@feldfon/firmware/handset/drawing/atlas";
import fc from "fast-check";
import { Outlines, type Point, unwrapWoff } from "../../fonts/outlines.ts";
import { rasterise } from "../../fonts/rasterise.ts";

const woff = readFileSync(new URL("../../fonts/noto-sans-sc-chinese-simplified-500-normal.woff", import.meta.url));
const ascii = Array.from({ length: 95 }, (_, i) => 32 + i);
const hundred = [...ascii, ...[..."äöüß陈"].map((character) => character.codePointAt(0)!)].sort((a, b) => a - b);

let outlines: Outlines;
before(() => {
  outlines = new Outlines(woff);
});

function covered({ alpha }: Glyph): number {
  return alpha.reduce((sum, value) => sum + value / 15, 0);
}

describe("the font file", () => {
  it("is the one that the firmware names, unmodified", () => assert.equal(hash("sha256", woff, "hex"), FONT_SHA256));

  it("carries Latin, German and thousands of Chinese characters", () => {
    const carried = new Set(outlines.codePoints);
    for (const character of "Aaz09äöüÄÖÜß€，。：？！鑫馨烨琪璐瑶婷妍婕彤玥警窃验") {
      assert.ok(carried.has(character.codePointAt(0)!), character);
    }
    assert.ok(outlines.codePoints.filter((code) => code >= 0x4e00 && code < 0xa000).length > 7000);
  });

  it("is refused when it is no WOFF, or a table is not as long as it says", () => {
    assert.throws(() => unwrapWoff(Buffer.from("OTTO")), /not a WOFF/);
    const wrong = Buffer.from(woff);
    wrong.writeUInt32BE(wrong.readUInt32BE(44 + 12) + 1, 44 + 12);
    assert.throws(() => unwrapWoff(wrong));
  });
});

describe("rasteriser", () => {
  const box = (left: number, bottom: number, right: number, top: number): Point[] => [
    [left, bottom],
    [left, top],
    [right, top],
    [right, bottom],
  ];

  it("covers whole pixels wholly and half pixels by half", () => {
    const { left, top, width, height, alpha } = rasterise({ advance: 0.5, contours: [box(0.05, 0, 0.3, 0.2)] }, 10);
    assert.deepEqual([left, top, width, height], [0, 2, 3, 2]);
    assert.deepEqual([...alpha], [8, 15, 15, 8, 15, 15]);
  });

  it("leaves out what an inner contour of the other direction cuts out", () => {
    const glyph = rasterise({ advance: 1, contours: [box(0, 0, 1, 1), box(0.2, 0.2, 0.8, 0.8).reverse()] }, 10);
    assert.equal(covered(glyph), 100 - 36);
    assert.equal(glyph.alpha[5 * 10 + 5], 0);
  });

  it("covers as much as the outline encloses, whatever its shape", () => {
    const coordinate = fc.integer({ min: -400, max: 1000 }).map((unit) => unit / 1000);
    const triangle = fc.tuple(
      fc.tuple(coordinate, coordinate),
      fc.tuple(coordinate, coordinate),
      fc.tuple(coordinate, coordinate),
    );
    fc.assert(
      fc.property(triangle, fc.constantFrom(...SIZES), ([a, b, c], size) => {
        const glyph = rasterise({ advance: 0, contours: [[a, b, c]] }, size);
        const area = Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])) / 2;
        // Each of the pixels at the edge is rounded to 15 steps.
        const tolerance = (glyph.width + glyph.height) * 2 * (1 / 30) + 1e-6;
        assert.ok(
          Math.abs(covered(glyph) - area * size * size) <= tolerance,
          `${covered(glyph)} ${area * size * size}`,
        );
      }),
    );
  });

  it("makes the same bytes on every machine", () => {
    const glyphs = hundred.map((code) => [code, rasterise(outlines.of(code), 22)] as const);
    assert.equal(glyphs.length, 100);
    assert.equal(
      hash("sha256", encodeAtlas(22, glyphs), "hex"),
      "ae7ebc19c9ee225eb5f18e23aa18c966bee5162a64799bcea26568f64d8d3215",
    );
  });
});

describe("an atlas", () => {
  it("gives back what was put in, and nothing for what was not", () => {
    const glyphs = hundred.map((code) => [code, rasterise(outlines.of(code), 28)] as const);
    const atlas = new Atlas(encodeAtlas(28, glyphs), 28);
    for (const [code, glyph] of glyphs) assert.deepEqual(atlas.find(code), glyph);
    for (const code of [0, 31, 127, 0x9647, 0x9649, 0x10ffff]) assert.equal(atlas.find(code), undefined);
  });

  it("is refused when it is of another size or no atlas", () => {
    assert.throws(() => new Atlas(encodeAtlas(18, []), 22), { code: "display" });
    assert.throws(() => new Atlas(Buffer.from("an error page"), 22), { code: "display" });
  });

  for (const size of SIZES) {
    it(`of ${size} pixels is what the rasteriser makes of the font today`, () => {
      const atlas = atlasOf(size);
      const codes = size === 40 ? [..."0123456789: "].map((digit) => digit.codePointAt(0)!) : hundred;
      for (const code of codes) assert.deepEqual(atlas.find(code), rasterise(outlines.of(code), size));
    });
  }
});

import assert from "node:assert/strict";
import { glyphOf, isDrawable, strokesOf, textWidth } from "@feldfon/firmware/handset/drawing/glyphs";
import { BOTTOM_UNITS, HEX_DOTS, LETTERS } from "@feldfon/firmware/handset/drawing/letters";
import { MARK_SHAPES, STEP_SHAPES } from "@feldfon/firmware/handset/drawing/shapes";

const ascii = Array.from({ length: 95 }, (_, i) => String.fromCodePoint(32 + i));
const carried = [...ascii, ..."äöüÄÖÜß…"];

/** The picture without its place, so that two characters can be compared. */
function picture(character: string, capPx: number): string {
  const { width, height, alpha } = glyphOf(character, capPx);
  return `${width}x${height} ${Buffer.from(alpha).toString("hex")}`;
}

describe("lettering", () => {
  it("carries printable ASCII and the German letters", () => {
    assert.deepEqual(
      carried.filter((character) => !isDrawable(character)),
      [],
    );
  });

  for (const capPx of [12, 13, 15, 20]) {
    it(`draws no two characters alike at ${capPx} px`, () => {
      const pictures = new Map<string, string>();
      for (const character of carried) {
        const alike = pictures.get(picture(character, capPx));
        assert.equal(alike, undefined, `${character} looks like ${alike}`);
        pictures.set(picture(character, capPx), character);
      }
    });
  }

  it("stays on its grid", () => {
    for (const [character, [width, strokes]] of Object.entries(LETTERS)) {
      for (const [x, y] of strokesOf(strokes).flat()) {
        assert.ok(x > -0.001 && x < width + 0.001, `${character}: x ${x}`);
        assert.ok(y > -0.001 && y < BOTTOM_UNITS, `${character}: y ${y}`);
      }
    }
  });

  it("is never cut off by its own picture", () => {
    for (const character of carried) {
      const { width, height, alpha } = glyphOf(character, 15);
      for (let y = 0; y < height; y++) {
        assert.equal(alpha[y * width], 0, `${character}: left edge`);
        assert.equal(alpha[y * width + width - 1], 0, `${character}: right edge`);
      }
      for (let x = 0; x < width; x++) {
        assert.equal(alpha[x], 0, `${character}: top edge`);
        assert.equal(alpha[(height - 1) * width + x], 0, `${character}: bottom edge`);
      }
    }
  });

  it("gives all digits one width, so that a clock does not jump", () => {
    assert.equal(new Set([..."0123456789"].map((digit) => glyphOf(digit, 15).advance)).size, 1);
  });

  it("draws a space as nothing, and moves on", () => {
    const space = glyphOf(" ", 15);
    assert.ok(space.alpha.every((alpha) => alpha === 0) && space.advance > 0);
  });

  it("is as wide as its characters together", () => {
    assert.equal(
      textWidth("Ben 陈", 15),
      [..."Ben 陈"].reduce((sum, one) => sum + glyphOf(one, 15).advance, 0),
    );
  });
});

describe("a character we cannot draw", () => {
  it("is a box, and no two boxes are alike", () => {
    const others = ["陈", "陳", "й", "Й", "é", "\u{1F600}", "\u{20000}", "\u0301"];
    const pictures = others.map((character) => picture(character, 15));
    assert.equal(new Set(pictures).size, new Set(others).size);
    for (const character of others) {
      assert.equal(isDrawable(character), false);
      const { width, height, alpha } = glyphOf(character, 15);
      const frame = [...alpha.subarray(0, width), ...alpha.subarray((height - 1) * width)];
      assert.ok(
        frame.every((value) => value === 15),
        "top and bottom of the box",
      );
    }
  });

  it("names its code in hex, four digits in two rows", () => {
    // 陈 is U+9648.
    const { width, alpha } = glyphOf("陈", 15);
    const digit = (column: number, row: number) =>
      Array.from({ length: 5 }, (_, y) =>
        [0, 1, 2].reduce(
          (bits, x) => bits * 2 + (alpha[(2 + 6 * row + y) * width + 2 + 4 * column + x]! > 0 ? 1 : 0),
          0,
        ),
      );
    const digits = [digit(0, 0), digit(1, 0), digit(0, 1), digit(1, 1)];
    assert.deepEqual(
      digits,
      [..."9648"].map((hex) => HEX_DOTS[hex]),
    );
  });

  it("has hex digits that differ from each other", () => {
    assert.equal(new Set(Object.values(HEX_DOTS).map(String)).size, 16);
  });
});

describe("shapes", () => {
  it("are square, of one size each, and differ", () => {
    for (const [shapes, size] of [
      [MARK_SHAPES, 24],
      [STEP_SHAPES, 12],
    ] as const) {
      const drawn = Object.values(shapes);
      for (const rows of drawn) {
        assert.equal(rows.length, size);
        for (const row of rows) assert.match(row, new RegExp(`^[.#]{${size}}$`));
      }
      assert.equal(new Set(drawn.map((rows) => rows.join(""))).size, drawn.length);
    }
  });

  it("tell states apart by their outline alone: colour may be missing", () => {
    const marks = Object.values(MARK_SHAPES).map((rows) => rows.join(""));
    for (const [i, one] of marks.entries()) {
      for (const other of marks.slice(i + 1)) {
        const differing = [...one].filter((pixel, at) => pixel !== other[at]).length;
        assert.ok(differing >= 60, `only ${differing} of 576 pixels differ`);
      }
    }
  });
});

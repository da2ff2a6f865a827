import assert from "node:assert/strict";
import { SIZES, type SizePx } from "@feldfon/firmware/handset/drawing/atlas";
import { glyphOf, isDrawable, textWidth } from "@feldfon/firmware/handset/drawing/glyphs";
import { HEX_DOTS } from "@feldfon/firmware/handset/drawing/hex-dots";
import { BAR_SHAPES, MARK_SHAPES, SIGN_SHAPES, STEP_SHAPES } from "@feldfon/firmware/handset/drawing/shapes";
import { LANGUAGES, TEXTS } from "@feldfon/firmware/handset/texts";

const textSizes = SIZES.filter((size) => size !== 40);
const ascii = Array.from({ length: 95 }, (_, i) => String.fromCodePoint(32 + i));
const carried = [...ascii, ..."äöüÄÖÜß€陈王李张刘杨赵黄周吴"];

/** The picture with its place above the base line, so that two characters can be compared. */
function picture(character: string, sizePx: SizePx): string {
  const { width, height, top, left, advance, alpha } = glyphOf(character, sizePx);
  return `${width}x${height} ${top} ${left} ${advance} ${Buffer.from(alpha).toString("hex")}`;
}

function charactersOf(texts: unknown): string {
  return typeof texts === "string"
    ? texts
    : Object.values(texts as object)
        .map(charactersOf)
        .join("");
}

describe("lettering", () => {
  for (const language of LANGUAGES) {
    it(`has a picture for every character that the handset says, ${language}`, () => {
      const said = [...new Set(charactersOf(TEXTS[language]))];
      for (const size of textSizes) {
        assert.deepEqual(
          said.filter((character) => !isDrawable(character, size)),
          [],
        );
      }
    });
  }

  it("has all digits and the colon of a clock at its largest size", () => {
    assert.ok([..."0123456789: "].every((character) => isDrawable(character, 40)));
  });

  for (const sizePx of textSizes) {
    it(`draws no two characters alike at ${sizePx} pixels`, () => {
      const pictures = new Map<string, string>();
      for (const character of carried) {
        const alike = pictures.get(picture(character, sizePx));
        assert.equal(alike, undefined, `${character} looks like ${alike}`);
        pictures.set(picture(character, sizePx), character);
      }
    });

    it(`gives all digits one width at ${sizePx} pixels, so that a clock does not jump`, () => {
      assert.equal(new Set([..."0123456789"].map((digit) => glyphOf(digit, sizePx).advance)).size, 1);
    });

    it(`gives every Chinese character ${sizePx} pixels`, () => {
      for (const character of "陈警窃验，。") assert.equal(glyphOf(character, sizePx).advance, sizePx);
    });
  }

  it("is anti-aliased: full in the middle of strokes, in steps at their edges", () => {
    const values = new Set(glyphOf("S", 22).alpha);
    assert.ok(values.has(0) && values.has(15) && values.size > 8);
  });

  it("draws a space as nothing, and moves on", () => {
    const space = glyphOf(" ", 22);
    assert.ok(space.alpha.every((alpha) => alpha === 0) && space.advance > 0);
  });

  it("is as wide as its characters together", () => {
    assert.equal(
      textWidth("Ben 陈", 22),
      [..."Ben 陈"].reduce((sum, one) => sum + glyphOf(one, 22).advance, 0),
    );
  });
});

describe("a character we cannot draw", () => {
  it("is a box, and no two boxes are alike", () => {
    const others = ["\u05d0", "\u05d1", "\u0e01", "\u{1F600}", "\u{20000}", "\u0301", "\u00a0", "✓", "✕"];
    assert.equal(new Set(others.map((character) => picture(character, 22))).size, others.length);
    for (const character of others) {
      assert.equal(isDrawable(character), false, character);
      const { width, height, alpha } = glyphOf(character, 22);
      const frame = [...alpha.subarray(0, width), ...alpha.subarray((height - 1) * width)];
      assert.ok(
        frame.every((value) => value === 15),
        "top and bottom of the box",
      );
    }
  });

  for (const [size, dot] of [
    [18, 1],
    [28, 2],
  ] as const) {
    it(`names its code in hex, four digits in two rows, at ${size} pixels`, () => {
      const { width, alpha } = glyphOf("\u05d0", size);
      const digit = (column: number, row: number) =>
        Array.from({ length: 5 }, (_, y) =>
          [0, 1, 2].reduce(
            (bits, x) => bits * 2 + (alpha[(2 + 6 * row + y) * dot * width + (2 + 4 * column + x) * dot]! > 0 ? 1 : 0),
            0,
          ),
        );
      const digits = [digit(0, 0), digit(1, 0), digit(0, 1), digit(1, 1)];
      assert.deepEqual(
        digits,
        [..."05D0"].map((hex) => HEX_DOTS[hex]),
      );
    });
  }

  it("has hex digits that differ from each other", () => {
    assert.equal(new Set(Object.values(HEX_DOTS).map(String)).size, 16);
  });
});

describe("shapes", () => {
  it("are square, of one size each, and differ", () => {
    for (const [shapes, size] of [
      [MARK_SHAPES, 24],
      [SIGN_SHAPES, 24],
      [BAR_SHAPES, 24],
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
    const drawn = [...Object.values(MARK_SHAPES), ...Object.values(SIGN_SHAPES)].map((rows) => rows.join(""));
    for (const [i, one] of drawn.entries()) {
      for (const other of drawn.slice(i + 1)) {
        const differing = [...one].filter((pixel, at) => pixel !== other[at]).length;
        assert.ok(differing >= 60, `only ${differing} of 576 pixels differ`);
      }
    }
  });
});

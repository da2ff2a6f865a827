import assert from "node:assert/strict";
import { textWidth } from "@feldfon/firmware/handset/drawing/glyphs";
import { PICTOGRAM_SIZE, PICTOGRAMS } from "@feldfon/firmware/handset/drawing/pictograms";
import type { Shape } from "@feldfon/firmware/handset/drawing/shapes";
import { LANGUAGES, TEXTS } from "@feldfon/firmware/handset/texts";

/** Pixels that differ, of 576. */
function distance(one: Shape, other: Shape): number {
  return one.reduce((sum, row, y) => sum + [...row].filter((pixel, x) => pixel !== other[y]![x]).length, 0);
}

/** Everything that is not reached from outside: what is left when lines inside cannot be seen. */
function silhouette(shape: Shape): Shape {
  const outside = new Set<number>();
  const size = PICTOGRAM_SIZE + 2;
  const waiting = [0];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const [x, y] = [at % size, Math.floor(at / size)];
    if (outside.has(at) || shape[y - 1]?.[x - 1] === "#") continue;
    outside.add(at);
    if (x > 0) waiting.push(at - 1);
    if (x < size - 1) waiting.push(at + 1);
    if (y > 0) waiting.push(at - size);
    if (y < size - 1) waiting.push(at + size);
  }
  return shape.map((row, y) => [...row].map((_, x) => (outside.has((y + 1) * size + x + 1) ? "." : "#")).join(""));
}

function* pairs(shapes: readonly Shape[]): Generator<[number, number, number]> {
  for (let i = 0; i < shapes.length; i++) {
    for (let j = 0; j < i; j++) yield [i, j, distance(shapes[i]!, shapes[j]!)];
  }
}

describe("pictograms", () => {
  it("are 64, each 24 by 24", () => {
    assert.equal(PICTOGRAMS.length, 64);
    for (const rows of PICTOGRAMS) {
      assert.equal(rows.length, PICTOGRAM_SIZE);
      for (const row of rows) assert.match(row, /^[.#]{24}$/);
    }
  });

  it("differ in at least 75 of 576 pixels", () => {
    for (const [i, j, differing] of pairs(PICTOGRAMS)) assert.ok(differing >= 75, `${i} and ${j}: ${differing}`);
  });

  it("differ in their outlines, when nothing inside can be seen", () => {
    for (const [i, j, differing] of pairs(PICTOGRAMS.map(silhouette))) {
      assert.ok(differing >= 30, `${TEXTS.en.pictograms[i]} and ${TEXTS.en.pictograms[j]}: ${differing}`);
    }
  });

  for (const language of LANGUAGES) {
    const words = TEXTS[language].pictograms;

    it(`have one word each, and no word twice, ${language}`, () => {
      assert.equal(words.length, 64);
      assert.equal(new Set(words.map((word) => word.toLowerCase())).size, 64);
      for (const word of words) assert.match(word, language === "zh" ? /^\p{Script=Han}{1,3}$/u : /^\p{L}+( tree)?$/u);
    });

    it(`have words that fit beside them, ${language}`, () => {
      for (const word of words) assert.ok(textWidth(word, 22) <= 240 - 88 - 4, word);
    });
  }
});

/** The picture of a character: from the atlas (atlas.ts), or a box with its code. */
import { atlasOf, type Glyph, type SizePx } from "./atlas.ts";
import { HEX_DOTS } from "./hex-dots.ts";

const glyphs = new Map<string, Glyph>();

export function glyphOf(character: string, sizePx: SizePx): Glyph {
  const key = `${sizePx} ${character}`;
  let glyph = glyphs.get(key);
  if (!glyph) {
    glyph = atlasOf(sizePx).find(character.codePointAt(0)!) ?? boxed(character, sizePx);
    // A phonebook in other people's hands must not fill the memory.
    if (glyphs.size >= MAX_KEPT) glyphs.clear();
    glyphs.set(key, glyph);
  }
  return glyph;
}

const MAX_KEPT = 4_000;

/** Whether a character has a picture of its own, not the box with its code. */
export function isDrawable(character: string, sizePx: SizePx = 18): boolean {
  return atlasOf(sizePx).find(character.codePointAt(0)!) !== undefined;
}

export function textWidth(text: string, sizePx: SizePx): number {
  let width = 0;
  for (const character of text) width += glyphOf(character, sizePx).advance;
  return width;
}

/**
 * A character we cannot draw: a box with its hex code, never "?" or nothing, or two names would look alike.
 *
 *     +-----+
 *     | 4 E |
 *     | 2 D |
 *     +-----+
 */
function boxed(character: string, sizePx: SizePx): Glyph {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  const perRow = Math.ceil(code.length / 2);
  const rows = [code.padStart(2 * perRow, "0").slice(0, perRow), code.padStart(2 * perRow, "0").slice(perRow)];
  const dot = sizePx >= 28 ? 2 : 1;
  const [width, height] = [(4 * perRow + 3) * dot, 15 * dot];
  const alpha = new Uint8Array(width * height);
  const fill = (x: number, y: number, w: number, h: number) => {
    for (let row = y; row < y + h; row++) alpha.fill(15, row * width + x, row * width + x + w);
  };
  fill(0, 0, width, dot);
  fill(0, height - dot, width, dot);
  fill(0, 0, dot, height);
  fill(width - dot, 0, dot, height);
  rows.forEach((digits, r) => {
    [...digits].forEach((digit, d) => {
      HEX_DOTS[digit]!.forEach((bits, y) => {
        for (let x = 0; x < 3; x++) {
          if ((bits >> (2 - x)) & 1) fill((2 + 4 * d + x) * dot, (2 + 6 * r + y) * dot, dot, dot);
        }
      });
    });
  });
  return { advance: width + 2, left: 1, top: height - 2 * dot, width, height, alpha };
}

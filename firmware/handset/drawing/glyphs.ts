/**
 * Characters as small pictures of 4 bits a pixel. Only + - * / and square roots, which IEEE 754 rounds alike
 * everywhere: the same text is the same pixels on every machine.
 */
import { BASELINE_UNITS, BOTTOM_UNITS, CAP_UNITS, HEX_DOTS, LETTERS } from "./letters.ts";

/**
 *      origin                 advance
 *        |  left               |        top: pixels from the base line up to the first row
 *        v +-----------+       v        alpha: row by row, 0 (nothing) .. 15 (full colour)
 *          |  picture  | top
 *     -----+-----------+------------ base line
 */
export interface Glyph {
  readonly advance: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly alpha: Uint8Array;
}

type Point = readonly [x: number, y: number];

/** Space between two letters, half on either side. */
const GAP_UNITS = 3;
/** Half the pen's width. */
const PEN_UNITS = 0.98;
/** A curve is drawn as this many lines for each of its points. */
const CHORDS = 6;

const glyphs = new Map<string, Glyph>();

/** @param capPx height of a capital letter */
export function glyphOf(character: string, capPx: number): Glyph {
  const key = `${capPx} ${character}`;
  let glyph = glyphs.get(key);
  if (!glyph) {
    const letter = LETTERS[character];
    glyph = letter ? penned(letter[0], strokesOf(letter[1]), capPx) : boxed(character, capPx);
    glyphs.set(key, glyph);
  }
  return glyph;
}

/** Whether a character has a picture of its own, not the box with its code. */
export function isDrawable(character: string): boolean {
  return Object.hasOwn(LETTERS, character);
}

export function textWidth(text: string, capPx: number): number {
  let width = 0;
  for (const character of text) width += glyphOf(character, capPx).advance;
  return width;
}

function penned(widthUnits: number, strokes: readonly (readonly Point[])[], capPx: number): Glyph {
  const unit = capPx / CAP_UNITS;
  const radius = PEN_UNITS * unit;
  const left = -1;
  const top = Math.ceil(BASELINE_UNITS * unit) + 1;
  const width = Math.ceil((widthUnits + GAP_UNITS) * unit) + 2;
  const height = top + Math.ceil((BOTTOM_UNITS - BASELINE_UNITS) * unit) + 1;
  const segments = strokes.flatMap((points) => {
    const placed = points.map(
      ([x, y]): Point => [(x + GAP_UNITS / 2) * unit - left, (y - BASELINE_UNITS) * unit + top],
    );
    return placed.slice(1).map((end, i) => [placed[i]!, end] as const);
  });
  const alpha = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let nearest = Number.POSITIVE_INFINITY;
      for (const [from, to] of segments) nearest = Math.min(nearest, distance(x + 0.5, y + 0.5, from, to));
      const covered = Math.min(1, Math.max(0, radius + 0.5 - nearest));
      alpha[y * width + x] = Math.floor(covered * 15 + 0.5);
    }
  }
  return { advance: Math.round((widthUnits + GAP_UNITS) * unit), left, top, width, height, alpha };
}

/** From a point to the nearest point of a line. */
function distance(x: number, y: number, [fromX, fromY]: Point, [toX, toY]: Point): number {
  const [dx, dy] = [toX - fromX, toY - fromY];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - fromX) * dx + (y - fromY) * dy) / length));
  const [awayX, awayY] = [x - fromX - along * dx, y - fromY - along * dy];
  return Math.sqrt(awayX * awayX + awayY * awayY);
}

/** @param text as in letters.ts */
export function strokesOf(text: string): Point[][] {
  return text
    .split(" ")
    .filter((stroke) => stroke !== "")
    .map((stroke) => {
      const points = (stroke.match(/[0-9a-z]{2}/g) ?? []).map(
        (pair): Point => [Number.parseInt(pair[0]!, 36), Number.parseInt(pair[1]!, 36)],
      );
      if (stroke.startsWith("@")) return smoothLoop(points);
      return stroke.startsWith("~") ? smoothLine(points) : points;
    });
}

/** From the first to the last point, pulled by those between. */
function smoothLine(points: readonly Point[]): Point[] {
  const line: Point[] = [points[0]!];
  for (let i = 1; i < points.length - 1; i++) {
    const end = i === points.length - 2 ? points[i + 1]! : middle(points[i]!, points[i + 1]!);
    line.push(...curve(line.at(-1)!, points[i]!, end));
  }
  return line;
}

function smoothLoop(points: readonly Point[]): Point[] {
  const line: Point[] = [middle(points.at(-1)!, points[0]!)];
  points.forEach((pull, i) => {
    line.push(...curve(line.at(-1)!, pull, middle(pull, points[(i + 1) % points.length]!)));
  });
  return line;
}

/** Quadratic Bézier without its first point. */
function curve(from: Point, pull: Point, to: Point): Point[] {
  return Array.from({ length: CHORDS }, (_, i): Point => {
    const t = (i + 1) / CHORDS;
    const [a, b, c] = [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
    return [a * from[0] + b * pull[0] + c * to[0], a * from[1] + b * pull[1] + c * to[1]];
  });
}

function middle(one: Point, other: Point): Point {
  return [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
}

/**
 * A character we cannot draw: a box with its hex code, never "?" or nothing, or two names would look alike.
 *
 *     +-----+
 *     | 4 E |
 *     | 2 D |
 *     +-----+
 */
function boxed(character: string, capPx: number): Glyph {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  const perRow = Math.ceil(code.length / 2);
  const rows = [code.padStart(2 * perRow, "0").slice(0, perRow), code.padStart(2 * perRow, "0").slice(perRow)];
  const dot = capPx >= 24 ? 2 : 1;
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
  return { advance: width + 2, left: 1, top: height - 1, width, height, alpha };
}

/**
 * Outlines to pixels by signed areas, as font-rs and stb_truetype do: every line of the outline adds, row by row, how
 * much of each pixel lies to its right; summed up along the row that is how much of the pixel the letter covers.
 * Only + - * / and floor on doubles: equal on every IEEE 754 machine.
 */
import type { Glyph } from "@feldfon/firmware/handset/drawing/atlas";
import type { Outline } from "./outlines.ts";

/** @param sizePx height of an em, which is also the width of a Chinese character */
export function rasterise({ advance, contours }: Outline, sizePx: number): Glyph {
  let [left, right, top, bottom] = [0, 0, 0, 0];
  const points = contours.flat();
  if (points.length > 0) {
    const xs = points.map(([x]) => x * sizePx);
    const ys = points.map(([, y]) => y * sizePx);
    left = Math.floor(Math.min(...xs));
    right = Math.ceil(Math.max(...xs));
    bottom = Math.floor(Math.min(...ys));
    top = Math.ceil(Math.max(...ys));
  }
  const [width, height] = [right - left, top - bottom];
  // What a line at the right edge adds lies one pixel further.
  const areas = new Float64Array(width * height + 2);
  for (const contour of contours) {
    contour.forEach(([x, y], i) => {
      const [nextX, nextY] = contour[(i + 1) % contour.length]!;
      addLine(areas, width, x * sizePx - left, top - y * sizePx, nextX * sizePx - left, top - nextY * sizePx);
    });
  }
  const alpha = new Uint8Array(width * height);
  let covered = 0;
  for (let at = 0; at < alpha.length; at++) {
    covered += areas[at]!;
    alpha[at] = Math.floor(Math.min(1, Math.abs(covered)) * 15 + 0.5);
  }
  return { advance: Math.floor(advance * sizePx + 0.5), left, top, width, height, alpha };
}

function addLine(areas: Float64Array, width: number, x0: number, y0: number, x1: number, y1: number): void {
  if (y0 === y1) return;
  const direction = y0 < y1 ? 1 : -1;
  const [fromX, fromY, toX, toY] = y0 < y1 ? [x0, y0, x1, y1] : [x1, y1, x0, y0];
  const slope = (toX - fromX) / (toY - fromY);
  let x = fromX;
  for (let row = Math.floor(fromY); row < toY; row++) {
    const tall = Math.min(row + 1, toY) - Math.max(row, fromY);
    const next = x + slope * tall;
    addPiece(areas, row * width, Math.min(x, next), Math.max(x, next), direction * tall);
    x = next;
  }
}

/** The part of a line inside one row: it spans `x0` to `x1`; everything to the right of it gets `area`. */
function addPiece(areas: Float64Array, start: number, x0: number, x1: number, area: number): void {
  const first = Math.floor(x0);
  let before = 0;
  for (let column = first; ; column++) {
    // Covered so far at the right edge of this pixel: the line's share up to there.
    const [from, to] = [Math.max(x0, column), Math.min(x1, column + 1)];
    const share = x1 > x0 ? (to - from) / (x1 - x0) : 1;
    const passed = x1 > x0 ? (from - x0) / (x1 - x0) : 0;
    const inPixel = area * (passed + share * (column + 1 - (from + to) / 2));
    areas[start + column]! += inPixel - before;
    before = inPixel;
    if (column + 1 >= x1) {
      areas[start + column + 1]! += area - before;
      return;
    }
  }
}

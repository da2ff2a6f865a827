/** Pixels: fills, shapes and text on one frame of RGB565. What lies outside is cut off. */
import type { Frame } from "@feldfon/hw/display/port";
import type { SizePx } from "./atlas.ts";
import type { Colour } from "./colours.ts";
import { glyphOf } from "./glyphs.ts";
import type { Shape } from "./shapes.ts";

export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly frame: Frame;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.frame = new Uint16Array(width * height);
  }

  fill(x: number, y: number, width: number, height: number, colour: Colour): void {
    const [from, to] = [Math.max(0, x), Math.min(this.width, x + width)];
    if (from >= to) return;
    for (let row = Math.max(0, y); row < Math.min(this.height, y + height); row++) {
      this.frame.fill(colour, row * this.width + from, row * this.width + to);
    }
  }

  /** @param scale pixels of the display for one of the shape, along each side */
  shape(x: number, y: number, shape: Shape, scale: number, colour: Colour): void {
    shape.forEach((row, dy) => {
      for (let dx = 0; dx < row.length; dx++) {
        if (row[dx] === "#") this.fill(x + dx * scale, y + dy * scale, scale, scale, colour);
      }
    });
  }

  text(x: number, baseline: number, text: string, sizePx: SizePx, colour: Colour): void {
    let pen = x;
    for (const character of text) {
      const glyph = glyphOf(character, sizePx);
      for (let row = 0; row < glyph.height; row++) {
        for (let column = 0; column < glyph.width; column++) {
          const alpha = glyph.alpha[row * glyph.width + column]!;
          if (alpha > 0) this.#blend(pen + glyph.left + column, baseline - glyph.top + row, colour, alpha);
        }
      }
      pen += glyph.advance;
    }
  }

  /** d + floor(((c - d) * a + 7) / 15) in each channel: whole numbers, the same on every machine. */
  #blend(x: number, y: number, colour: Colour, alpha: number): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const at = y * this.width + x;
    const below = this.frame[at]!;
    const channel = (c: number, d: number) => d + Math.floor(((c - d) * alpha + 7) / 15);
    const red = channel(colour >> 11, below >> 11);
    const green = channel((colour >> 5) & 63, (below >> 5) & 63);
    const blue = channel(colour & 31, below & 31);
    this.frame[at] = (red << 11) | (green << 5) | blue;
  }
}

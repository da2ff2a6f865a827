/** `make atlas`: every character of the font at every size of the display, as `.cache/atlas/`. */
import { hash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ATLAS_FOLDER,
  atlasFile,
  DIGITS_SIZE,
  encodeAtlas,
  FONT_SHA256,
  type Glyph,
  SIZES,
  type SizePx,
} from "@feldfon/firmware/handset/drawing/atlas";
import { Outlines } from "./outlines.ts";
import { rasterise } from "./rasterise.ts";

const missing = SIZES.filter((size) => !existsSync(atlasFile(size)));
if (missing.length > 0) build(missing);

function build(sizes: readonly SizePx[]): void {
  const font = readFileSync(new URL("noto-sans-sc-chinese-simplified-500-normal.woff", import.meta.url));
  if (hash("sha256", font, "hex") !== FONT_SHA256) throw new Error("this is not the font that the firmware names");
  const outlines = new Outlines(font);
  mkdirSync(ATLAS_FOLDER, { recursive: true });
  // The pictures are the font in another form: its licence goes with them.
  copyFileSync(new URL("OFL.txt", import.meta.url), join(ATLAS_FOLDER, "OFL.txt"));
  for (const size of sizes) {
    const wanted = size === DIGITS_SIZE ? outlines.codePoints.filter(isDigit) : outlines.codePoints;
    const glyphs = wanted
      .map((code) => [code, rasterise(outlines.of(code), size)] as const)
      .filter(([code, glyph]) => isSeen(code, glyph));
    // Whole or not at all, also when two starts make it at the same time.
    const half = `${atlasFile(size)}.${process.pid}`;
    writeFileSync(half, encodeAtlas(size, glyphs));
    renameSync(half, atlasFile(size));
  }
}

/** Space, 0 to 9 and the colon of a clock. */
function isDigit(codePoint: number): boolean {
  return codePoint === 0x20 || (codePoint >= 0x30 && codePoint <= 0x3a);
}

/** What is drawn into its neighbour, or is one more blank, is left out: its box with a code says that it is there. */
function isSeen(codePoint: number, { advance, alpha }: Glyph): boolean {
  const isBlank = alpha.every((value) => value === 0);
  return advance > 0 && (!isBlank || codePoint === 0x20 || codePoint === 0x3000);
}

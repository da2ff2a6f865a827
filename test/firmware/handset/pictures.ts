/**
 * Pictures of every screen for the documentation: `docs/screens/` or the folder given. `make pictures` calls it.
 *
 *     de.png, en.png, zh.png    every screen of 240 x 240, six beside each other
 *     wide.png                  the main ones at 320 x 240
 *     pictograms.png            the 64 pictograms with their numbers and words
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Canvas } from "@feldfon/firmware/handset/drawing/canvas";
import { BLACK, SECONDARY, WHITE } from "@feldfon/firmware/handset/drawing/colours";
import { drawScreen } from "@feldfon/firmware/handset/drawing/draw";
import { textWidth } from "@feldfon/firmware/handset/drawing/glyphs";
import { PICTOGRAMS } from "@feldfon/firmware/handset/drawing/pictograms";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { LANGUAGES, type Language, TEXTS } from "@feldfon/firmware/handset/texts";
import { pngOf } from "@feldfon/hw/display/png";
import { samples } from "./samples.ts";

const GAP = 8;
const GREY = 0x8410;
const HEIGHT = 240;
const MAIN = [
  "off",
  "connecting",
  "verified",
  "phonebook",
  "dialling",
  "ringing-out",
  "incoming",
  "in-call",
  "in-call-talk",
  "ended-hung-up-there",
  "updated-other",
  "alarm-server-key",
];

const folder = process.argv[2] ?? join(import.meta.dirname, "../../../docs/screens");
mkdirSync(folder, { recursive: true });
for (const language of LANGUAGES) sheet(`${language}.png`, Object.keys(samples), language, 240, 6);
sheet("wide.png", MAIN, "en", 320, 4);
pictograms();

function sheet(file: string, names: readonly string[], language: Language, width: number, columns: number): void {
  const rows = Math.ceil(names.length / columns);
  const canvas = new Canvas(columns * (width + GAP) + GAP, rows * (HEIGHT + GAP) + GAP);
  canvas.fill(0, 0, canvas.width, canvas.height, GREY);
  for (const [i, name] of names.entries()) {
    const screen = drawScreen(screenOf(samples[name]!, language), width, HEIGHT);
    const left = GAP + (i % columns) * (width + GAP);
    const top = GAP + Math.floor(i / columns) * (HEIGHT + GAP);
    for (let y = 0; y < HEIGHT; y++) {
      canvas.frame.set(screen.subarray(y * width, (y + 1) * width), (top + y) * canvas.width + left);
    }
  }
  write(file, canvas);
}

function pictograms(): void {
  const [columns, width, height] = [8, 118, 136];
  const canvas = new Canvas(columns * width, (PICTOGRAMS.length / columns) * height);
  canvas.fill(0, 0, canvas.width, canvas.height, BLACK);
  for (const [number, shape] of PICTOGRAMS.entries()) {
    const [left, top] = [(number % columns) * width, Math.floor(number / columns) * height];
    canvas.text(left + 4, top + 46, String(number).padStart(2, "0"), 22, WHITE);
    canvas.shape(left + 38, top + 8, shape, 2, WHITE);
    for (const [line, language] of LANGUAGES.entries()) {
      const word = TEXTS[language].pictograms[number]!;
      const x = left + Math.floor((width - textWidth(word, 18)) / 2);
      canvas.text(x, top + 78 + 21 * line, word, 18, language === "de" ? WHITE : SECONDARY);
    }
  }
  write("pictograms.png", canvas);
}

function write(file: string, canvas: Canvas): void {
  writeFileSync(join(folder, file), pngOf(canvas.frame, canvas.width, canvas.height));
}

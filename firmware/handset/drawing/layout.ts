/**
 * Where everything of a screen goes, at 240 x 240 and 320 x 240.
 *
 *       0 +--------------------------------+
 *         | mark  title            battery |
 *      33 +--------------------------------+
 *         || words of the handset: a bar   |
 *         |  names of others: none         |
 *         |                                |
 *         | what the number pad does       |
 *     196 +---------------+----------------+
 *         | connect       | call           |
 *     218 +---------------+----------------+
 *         | hang up       | update         |
 *     240 +---------------+----------------+
 *
 * Titles are 28 pixels, what the handset says 22, details 18. What does not fit is set smaller, but never below 18;
 * what does not fit even then is reported, and a test keeps that from happening with the longest names in every
 * language.
 */
import type { Button } from "@feldfon/hw/buttons/port";
import type { Block, Mark, Progress, Row, Screen } from "../screens.ts";
import type { SizePx } from "./atlas.ts";
import { ALARM, BLACK, CAUTION, type Colour, FOCUS, GOOD, INFO, RED, SECONDARY, SLATE, WHITE } from "./colours.ts";
import { textWidth } from "./glyphs.ts";
import { PICTOGRAM_SIZE, PICTOGRAMS } from "./pictograms.ts";
import { BAR_SHAPES, DOT_SHAPES, MARK_SHAPES, type Shape, SIGN_SHAPES, STEP_SHAPES } from "./shapes.ts";
import { cut, wrap } from "./wrap.ts";

export type Piece =
  | { piece: "fill"; x: number; y: number; width: number; height: number; colour: Colour }
  | { piece: "shape"; x: number; y: number; shape: Shape; scale: number; colour: Colour; ground: Colour }
  | { piece: "text"; x: number; baseline: number; text: string; sizePx: SizePx; colour: Colour; ground: Colour };

export interface Layout {
  readonly ground: Colour;
  readonly pieces: readonly Piece[];
  /** Texts that did not fit. */
  readonly overflows: readonly string[];
}

interface TextSize {
  readonly sizePx: SizePx;
  /** From one line to the next. */
  readonly pitchPx: number;
  /** From the top of the line to its base line. */
  readonly ascentPx: number;
}

/** One way to set a screen: sizes of names, of what the handset says and of details, and whether signs are doubled. */
interface Setting {
  readonly names: TextSize;
  readonly body: TextSize;
  readonly small: TextSize;
  readonly roomy: boolean;
}

interface Theme {
  readonly ground: Colour;
  readonly text: Colour;
  readonly secondary: Colour;
  readonly bar: Colour;
  readonly marks: Readonly<Record<Mark, Colour>>;
}

/** Names, where there is room: who calls is read from afar. */
const LARGE: TextSize = { sizePx: 28, pitchPx: 34, ascentPx: 27 };
const BODY: TextSize = { sizePx: 22, pitchPx: 25, ascentPx: 20 };
const SMALL: TextSize = { sizePx: 18, pitchPx: 21, ascentPx: 16 };
/** Where every pixel counts. */
const TIGHT: TextSize = { sizePx: 18, pitchPx: 18, ascentPx: 15 };

/** Tried in this order. */
const SETTINGS: readonly Setting[] = [
  { names: LARGE, body: BODY, small: SMALL, roomy: true },
  { names: BODY, body: BODY, small: SMALL, roomy: true },
  { names: BODY, body: BODY, small: SMALL, roomy: false },
  { names: SMALL, body: SMALL, small: SMALL, roomy: false },
  { names: TIGHT, body: TIGHT, small: TIGHT, roomy: false },
];

export const TITLE_HEIGHT = 33;
const TITLE_BAR = 32;
const KEY_HEIGHT = 22;
const PAD_HEIGHT = 19;
const TEXT_X = 9;
const MARGIN = 4;
const MARK_SIZE = 24;
/** Between two blocks, where there is room. */
const MAX_GAP = 8;

const dark: Theme = {
  ground: BLACK,
  text: WHITE,
  secondary: SECONDARY,
  bar: INFO,
  marks: { ok: GOOD, info: INFO, caution: CAUTION, alarm: ALARM },
};

const red: Theme = {
  ground: RED,
  text: WHITE,
  secondary: WHITE,
  bar: WHITE,
  marks: { ok: WHITE, info: WHITE, caution: FOCUS, alarm: FOCUS },
};

const TITLE_GROUNDS: Readonly<Record<Mark, Colour>> = { ok: GOOD, info: INFO, caution: CAUTION, alarm: ALARM };

/** As the keys lie beside the display: two at the left, two at the right. */
const KEYS: readonly (readonly [Button, column: 0 | 1, row: 0 | 1, ground: Colour, text: Colour])[] = [
  ["connect", 0, 0, INFO, BLACK],
  ["call", 1, 0, GOOD, BLACK],
  ["hang-up", 0, 1, RED, WHITE],
  ["update", 1, 1, SECONDARY, BLACK],
];

export function layoutOf(screen: Screen, width: number, height: number): Layout {
  for (const setting of SETTINGS) {
    const { layout, sparePx } = new Attempt(screen, width, height, setting, 0);
    if (layout.overflows.length > 0) continue;
    const gapPx = Math.min(MAX_GAP, Math.floor(sparePx / (screen.blocks.length + 1)));
    return new Attempt(screen, width, height, setting, gapPx).layout;
  }
  return new Attempt(screen, width, height, SETTINGS.at(-1)!, 0).layout;
}

/** One attempt to set a screen. */
class Attempt {
  readonly layout: Layout;
  /** Left over below the last block. */
  readonly sparePx: number;
  readonly #width: number;
  readonly #theme: Theme;
  readonly #setting: Setting;
  readonly #pieces: Piece[] = [];
  readonly #overflows: string[] = [];
  readonly #bottom: number;
  #y = TITLE_HEIGHT;

  /** @param gapPx above each block */
  constructor(screen: Screen, width: number, height: number, setting: Setting, gapPx: number) {
    this.#width = width;
    this.#theme = screen.tone === "alarm" ? red : dark;
    this.#setting = setting;
    const keysTop = height - 2 * KEY_HEIGHT;
    this.#bottom = keysTop - (screen.pad === "" ? 0 : PAD_HEIGHT);
    this.#title(screen);
    for (const block of screen.blocks) {
      this.#y += gapPx;
      this.#block(block);
    }
    this.sparePx = this.#bottom - this.#y;
    if (screen.pad !== "") this.#pad(screen.pad);
    this.#keys(screen, keysTop);
    this.layout = { ground: this.#theme.ground, pieces: this.#pieces, overflows: this.#overflows };
  }

  #title(screen: Screen): void {
    const ground = screen.tone ? TITLE_GROUNDS[screen.tone] : SLATE;
    const colour = screen.tone ? BLACK : WHITE;
    this.#fill(0, 0, this.#width, TITLE_BAR, ground);
    const left = screen.tone ? MARK_SIZE + 12 : 7;
    if (screen.tone) this.#shape(MARK_SHAPES[screen.tone], 6, 4, 1, colour, ground);
    const battery = screen.batteryLow ? `! ${screen.battery}` : screen.battery;
    const right = battery === "" ? MARGIN : textWidth(battery, 18) + 6;
    if (battery !== "") this.#text(battery, this.#width - right, 23, 18, colour, ground);
    const room = this.#width - right - left;
    const sizePx = ([28, 22, 18] as const).find((size) => textWidth(screen.title, size) <= room);
    if (sizePx === undefined) this.#overflows.push(screen.title);
    const baseline = { 28: 26, 22: 24, 18: 22 }[sizePx ?? 18];
    this.#text(cut(screen.title, sizePx ?? 18, room), left, baseline, sizePx ?? 18, colour, ground);
  }

  #pad(text: string): void {
    const room = this.#width - TEXT_X - MARGIN;
    if (textWidth(text, 18) > room) this.#overflows.push(text);
    this.#text(text, TEXT_X, this.#bottom + 15, 18, this.#theme.secondary, this.#theme.ground);
  }

  #keys(screen: Screen, top: number): void {
    const cell = this.#width / 2;
    for (const [button, column, row, usual, colour] of KEYS) {
      const label = screen.keys[button];
      // The red key would drown on the red screen.
      const ground = label === "" ? SLATE : usual === this.#theme.ground ? BLACK : usual;
      const [x, y] = [column * cell, top + row * KEY_HEIGHT];
      this.#fill(x + 1, y + 1, cell - 2, KEY_HEIGHT - 2, ground);
      if (label === "") continue;
      const wide = textWidth(label, 18);
      if (wide > cell - 6) this.#overflows.push(label);
      const shown = cut(label, 18, cell - 6);
      this.#text(shown, x + Math.floor((cell - Math.min(wide, cell - 6)) / 2), y + 17, 18, colour, ground);
    }
  }

  #block(block: Block): void {
    const { text, secondary, marks } = this.#theme;
    const { body, small } = this.#setting;
    switch (block.block) {
      case "mark":
        this.#sign(MARK_SHAPES[block.mark], block.large === true, block.word, marks[block.mark]);
        break;
      case "sign":
        this.#sign(SIGN_SHAPES[block.sign], true, block.text, marks[block.mark]);
        break;
      case "says":
        this.#barred(() => this.#paragraph(block.text, body, text));
        break;
      case "detail":
        this.#barred(() => this.#paragraph(block.text, small, secondary));
        break;
      case "name":
        this.#name(block.text, block.brief === true);
        break;
      case "digits":
        this.#digits(block.text);
        break;
      case "dots":
        this.#barred(() => this.#dots(block.count, block.of));
        break;
      case "numbers":
        if (block.form === "rows") block.numbers.forEach((number, i) => void this.#numberRow(number, block.words[i]!));
        else this.#numbers(block.numbers, block.form === "large" && this.#setting.roomy);
        break;
      case "voice":
        this.#barred(() => this.#voice(block.time, block.bars, block.word));
        break;
      case "progress":
        this.#barred(() => {
          for (const row of block.rows) this.#step(row, block.rows.length);
        });
        break;
      case "list":
        for (const row of block.rows) this.#row(row, block.dense);
        break;
      default:
        block satisfies never;
    }
  }

  /** The handset vouches for what is drawn inside: a bar along it. */
  #barred(draw: () => void): void {
    const top = this.#y;
    draw();
    this.#fill(2, top + 1, 3, this.#y - top - 2, this.#theme.bar);
  }

  #paragraph(text: string, size: TextSize, colour: Colour): void {
    const room = this.#width - TEXT_X - MARGIN;
    for (const line of wrap(text, size.sizePx, room)) {
      this.#line(line, TEXT_X, this.#y, size, colour, room);
      this.#y += size.pitchPx;
    }
  }

  /** Shape and word beside each other, the shape doubled where there is room. */
  #sign(shape: Shape, large: boolean, word: string, colour: Colour): void {
    const { body, small, roomy } = this.#setting;
    const scale = large && roomy ? 2 : 1;
    const indent = TEXT_X + scale * MARK_SIZE + 8;
    const room = this.#width - indent - MARGIN;
    const fits = (size: TextSize, lines: number) => wrap(word, size.sizePx, room).length <= lines;
    const largest = scale === 2 && fits(LARGE, 1) ? LARGE : body;
    const size = fits(largest, scale) ? largest : small;
    const lines = wrap(word, size.sizePx, room);
    const height = Math.max(scale * MARK_SIZE + 4, lines.length * size.pitchPx);
    this.#barred(() => {
      const top = this.#y;
      this.#fits(word, top + height);
      this.#shape(shape, TEXT_X, top + Math.floor((height - scale * MARK_SIZE) / 2), scale, colour, this.#theme.ground);
      lines.forEach((line, i) => {
        const y = top + Math.floor((height - lines.length * size.pitchPx) / 2) + i * size.pitchPx;
        this.#line(line, indent, y, size, colour, room);
      });
      this.#y += height;
    });
  }

  /** Long names are set smaller rather than cut: two of them may differ in the last letter only. */
  #name(name: string, brief: boolean): void {
    const { names, body, small } = this.#setting;
    const room = this.#width - TEXT_X - MARGIN;
    const size = [names, body].find(({ sizePx }) => textWidth(name, sizePx) <= room) ?? small;
    this.#paragraph(brief ? cut(name, size.sizePx, room) : name, size, this.#theme.text);
  }

  #digits(text: string): void {
    this.#fits(text, this.#y + 40);
    if (textWidth(text, 40) > this.#width - TEXT_X - MARGIN) this.#overflows.push(text);
    this.#text(text, TEXT_X, this.#y + 34, 40, this.#theme.text, this.#theme.ground);
    this.#y += 40;
  }

  /** A place for each digit there may be, and how many there are. */
  #dots(count: number, of: number): void {
    const { ground, text, secondary } = this.#theme;
    const label = String(count);
    const labelX = this.#width - MARGIN - textWidth(label, 22);
    const cell = Math.floor((this.#width - TEXT_X - MARGIN - textWidth("00", 22) - 6) / of);
    this.#fits("dots", this.#y + 28);
    for (let place = 0; place < of; place++) {
      const typed = place < count;
      const [shape, colour] = typed ? [DOT_SHAPES.typed, text] : [DOT_SHAPES.open, secondary];
      this.#shape(shape, TEXT_X + place * cell, this.#y + 8, 1, colour, ground);
    }
    this.#text(label, labelX, this.#y + 22, 22, text, ground);
    this.#y += 28;
  }

  /**
   * Five pictograms with their numbers:
   *
   *     large   +----+ ...      small   +--+    ...
   *             |    |                  |  | 07
   *             +----+                  +--+
   *               07
   */
  #numbers(numbers: readonly number[], large: boolean): void {
    const { ground, text } = this.#theme;
    const cell = Math.floor(this.#width / numbers.length);
    const scale = large ? 2 : 1;
    const height = large ? 74 : 28;
    this.#fits("numbers", this.#y + height);
    numbers.forEach((number, i) => {
      const label = twoDigits(number);
      const side = scale * PICTOGRAM_SIZE;
      const wide = large ? side : side + 2 + textWidth(label, 18);
      const x = i * cell + Math.floor((cell - wide) / 2);
      this.#shape(PICTOGRAMS[number]!, x, this.#y + 2, scale, text, ground);
      if (large) {
        const labelX = i * cell + Math.floor((cell - textWidth(label, 22)) / 2);
        this.#text(label, labelX, this.#y + side + 20, 22, text, ground);
      } else this.#text(label, x + side + 2, this.#y + 21, 18, text, ground);
    });
    this.#y += height;
  }

  /** Number, pictogram and word: read aloud line by line. */
  #numberRow(number: number, word: string): void {
    const { ground, text } = this.#theme;
    this.#fits(word, this.#y + 28);
    const wordX = 88;
    if (textWidth(word, 22) > this.#width - wordX - MARGIN) this.#overflows.push(word);
    this.#text(twoDigits(number), TEXT_X, this.#y + 24, 28, text, ground);
    this.#shape(PICTOGRAMS[number]!, 52, this.#y + 2, 1, text, ground);
    this.#text(word, wordX, this.#y + 22, 22, text, ground);
    this.#y += 28;
  }

  #voice(time: string, bars: number, word: string): void {
    const { ground, text, marks } = this.#theme;
    const colour = marks[bars >= 3 ? "ok" : bars === 2 ? "caution" : "alarm"];
    this.#fits(time, this.#y + 32);
    this.#text(time, TEXT_X, this.#y + 25, 28, text, ground);
    const x = TEXT_X + textWidth(time, 28) + 12;
    this.#shape(BAR_SHAPES[bars]!, x, this.#y + 3, 1, colour, ground);
    const room = this.#width - x - MARK_SIZE - 6 - MARGIN;
    const sizePx = textWidth(word, 22) <= room ? 22 : 18;
    if (textWidth(word, sizePx) > room) this.#overflows.push(word);
    this.#text(word, x + MARK_SIZE + 6, this.#y + 23, sizePx, colour, ground);
    this.#y += 32;
  }

  #step(row: Progress, rows: number): void {
    const { text, secondary } = this.#theme;
    const colour = row.state === "now" ? FOCUS : row.state === "done" ? text : secondary;
    // Nine steps need the tight pitch, three may breathe.
    const size = rows > 6 ? TIGHT : this.#setting.body;
    const labelWidth = 30;
    const room = this.#width - TEXT_X - labelWidth - 18 - MARGIN;
    this.#line(row.label, TEXT_X, this.#y, size, colour, labelWidth);
    this.#shape(
      STEP_SHAPES[row.state],
      TEXT_X + labelWidth,
      this.#y + size.ascentPx - 12,
      1,
      colour,
      this.#theme.ground,
    );
    this.#line(row.text, TEXT_X + labelWidth + 18, this.#y, size, colour, room);
    this.#y += size.pitchPx;
  }

  #row(row: Row, dense: boolean): void {
    const usual = dense ? this.#setting.small : this.#setting.body;
    const labelWidth = Math.max(24, textWidth(row.label, usual.sizePx) + 8);
    const noteWidth = row.note === "" ? 0 : textWidth(row.note, usual.sizePx) + 6;
    const x = TEXT_X + labelWidth;
    const room = this.#width - x - noteWidth - MARGIN;
    // Only the selected name can be dialled, so it is shown whole; the others may be cut.
    const long = row.selected && textWidth(row.text, usual.sizePx) > room;
    const size = long ? this.#setting.small : usual;
    const lines = long ? wrap(row.text, size.sizePx, room) : [cut(row.text, size.sizePx, room)];
    const height = lines.length * size.pitchPx;
    const ground = row.selected ? FOCUS : this.#theme.ground;
    const colour = row.selected ? BLACK : this.#theme.text;
    if (row.selected) this.#fill(0, this.#y, this.#width, height, FOCUS);
    this.#line(row.label, TEXT_X, this.#y, size, colour, labelWidth, ground);
    lines.forEach((line, i) => {
      this.#line(line, x, this.#y + i * size.pitchPx, size, colour, room, ground);
    });
    if (row.note !== "") this.#line(row.note, this.#width - noteWidth, this.#y, size, colour, noteWidth, ground);
    this.#y += height;
  }

  /** One line whose top is at `y`; whether it fits is noted, not decided. */
  #line(text: string, x: number, y: number, size: TextSize, colour: Colour, room: number, ground?: Colour): void {
    if (textWidth(text, size.sizePx) > room) this.#overflows.push(text);
    this.#fits(text, y + size.pitchPx);
    this.#text(text, x, y + size.ascentPx, size.sizePx, colour, ground ?? this.#theme.ground);
  }

  #fits(text: string, bottom: number): void {
    if (bottom > this.#bottom) this.#overflows.push(text);
  }

  #fill(x: number, y: number, width: number, height: number, colour: Colour): void {
    this.#pieces.push({ piece: "fill", x, y, width, height, colour });
  }

  #shape(shape: Shape, x: number, y: number, scale: number, colour: Colour, ground: Colour): void {
    this.#pieces.push({ piece: "shape", x, y, shape, scale, colour, ground });
  }

  #text(text: string, x: number, baseline: number, sizePx: SizePx, colour: Colour, ground: Colour): void {
    this.#pieces.push({ piece: "text", x, baseline, text, sizePx, colour, ground });
  }
}

function twoDigits(number: number): string {
  return String(number).padStart(2, "0");
}

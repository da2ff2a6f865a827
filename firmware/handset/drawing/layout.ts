/**
 * Where everything of a screen goes, at 240 x 240 and 320 x 240.
 *
 *       0 +--------------------------------+
 *         | title                  battery |
 *      32 +--------------------------------+
 *         || words of the handset: a bar   |
 *         |  names of others: none         |
 *         |                                |
 *         | what the number pad does       |
 *     200 +---------------+----------------+
 *         | connect       | call           |
 *     220 +---------------+----------------+
 *         | hang up       | update         |
 *     240 +---------------+----------------+
 *
 * Text that does not fit in its usual size is set smaller; what does not fit even then is reported, and a test
 * keeps that from happening with the longest names in every language.
 */
import type { Button } from "@feldfon/hw/buttons/port";
import type { Block, Mark, Progress, Row, Screen } from "../screens.ts";
import { ALARM, BLACK, CAUTION, type Colour, FOCUS, GOOD, INFO, RED, SECONDARY, SLATE, WHITE } from "./colours.ts";
import { textWidth } from "./glyphs.ts";
import { MARK_SHAPES, type Shape, STEP_SHAPES } from "./shapes.ts";
import { cut, wrap } from "./wrap.ts";

export type Piece =
  | { piece: "fill"; x: number; y: number; width: number; height: number; colour: Colour }
  | { piece: "shape"; x: number; y: number; shape: Shape; colour: Colour }
  | { piece: "text"; x: number; baseline: number; text: string; capPx: number; colour: Colour; ground: Colour };

export interface Layout {
  readonly ground: Colour;
  readonly pieces: readonly Piece[];
  /** Texts that did not fit. */
  readonly overflows: readonly string[];
}

interface TextSize {
  readonly capPx: number;
  /** From one line to the next. */
  readonly pitchPx: number;
  /** From the top of the line to its base line. */
  readonly ascentPx: number;
}

interface Theme {
  readonly ground: Colour;
  readonly text: Colour;
  readonly secondary: Colour;
  readonly bar: Colour;
  readonly marks: Readonly<Record<Mark, Colour>>;
}

/** Names, where there is room: who calls is read from afar. */
const LARGE: TextSize = { capPx: 20, pitchPx: 31, ascentPx: 25 };
const BODY: TextSize = { capPx: 15, pitchPx: 24, ascentPx: 19 };
const SMALL: TextSize = { capPx: 13, pitchPx: 18, ascentPx: 15 };
/** The last resort before something is cut. */
const TIGHT: TextSize = { capPx: 12, pitchPx: 16, ascentPx: 13 };
const TITLE_CAP_PX = 16;
const KEY_CAP_PX = 13;
const DIGIT_CAPS_PX = [26, 24, 22, 20, 18];

export const TITLE_HEIGHT = 32;
const KEY_HEIGHT = 20;
const PAD_HEIGHT = 18;
const TEXT_X = 9;
const MARK_SIZE = 24;

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

/** Sizes of names, of what the handset says, and of details; tried in this order. */
const SIZES: readonly (readonly [names: TextSize, body: TextSize, small: TextSize])[] = [
  [LARGE, BODY, SMALL],
  [BODY, BODY, SMALL],
  [SMALL, SMALL, SMALL],
];

export function layoutOf(screen: Screen, width: number, height: number): Layout {
  for (const sizes of SIZES) {
    const { layout } = new Setting(screen, width, height, ...sizes);
    if (layout.overflows.length === 0) return layout;
  }
  return new Setting(screen, width, height, TIGHT, TIGHT, TIGHT).layout;
}

/** One attempt to set a screen in the given sizes. */
class Setting {
  readonly layout: Layout;
  readonly #width: number;
  readonly #theme: Theme;
  readonly #names: TextSize;
  readonly #body: TextSize;
  readonly #small: TextSize;
  readonly #pieces: Piece[] = [];
  readonly #overflows: string[] = [];
  readonly #bottom: number;
  #y = TITLE_HEIGHT + 1;

  constructor(screen: Screen, width: number, height: number, names: TextSize, body: TextSize, small: TextSize) {
    this.#width = width;
    this.#theme = screen.tone === "alarm" ? red : dark;
    this.#names = names;
    this.#body = body;
    this.#small = small;
    const keysTop = height - 2 * KEY_HEIGHT;
    this.#bottom = keysTop - (screen.pad === "" ? 0 : PAD_HEIGHT);
    this.#title(screen);
    for (const block of screen.blocks) this.#block(block);
    if (screen.pad !== "")
      this.#line(screen.pad, TEXT_X, this.#bottom, SMALL, this.#theme.secondary, width - TEXT_X - 2);
    this.#keys(screen, keysTop);
    this.layout = { ground: this.#theme.ground, pieces: this.#pieces, overflows: this.#overflows };
  }

  #title(screen: Screen): void {
    const ground = screen.tone ? TITLE_GROUNDS[screen.tone] : SLATE;
    const colour = screen.tone ? BLACK : WHITE;
    this.#pieces.push({ piece: "fill", x: 0, y: 0, width: this.#width, height: TITLE_HEIGHT - 2, colour: ground });
    const battery = screen.batteryLow ? `! ${screen.battery}` : screen.battery;
    const batteryWidth = battery === "" ? 0 : textWidth(battery, KEY_CAP_PX) + 6;
    if (battery !== "") this.#text(battery, this.#width - batteryWidth, 21, KEY_CAP_PX, colour, ground);
    const room = this.#width - batteryWidth - 12;
    if (textWidth(screen.title, TITLE_CAP_PX) > room) this.#overflows.push(screen.title);
    this.#text(cut(screen.title, TITLE_CAP_PX, room), 6, 22, TITLE_CAP_PX, colour, ground);
  }

  #keys(screen: Screen, top: number): void {
    const cell = this.#width / 2;
    for (const [button, column, row, usual, colour] of KEYS) {
      const label = screen.keys[button];
      if (label === "") continue;
      // The red key would drown on the red screen.
      const ground = usual === this.#theme.ground ? BLACK : usual;
      const [x, y] = [column * cell, top + row * KEY_HEIGHT];
      this.#pieces.push({ piece: "fill", x: x + 1, y: y + 1, width: cell - 2, height: KEY_HEIGHT - 2, colour: ground });
      const room = cell - 10;
      if (textWidth(label, KEY_CAP_PX) > room) this.#overflows.push(label);
      this.#text(cut(label, KEY_CAP_PX, room), x + 6, y + 15, KEY_CAP_PX, colour, ground);
    }
  }

  #block(block: Block): void {
    const { text, secondary, marks } = this.#theme;
    switch (block.block) {
      case "mark":
        this.#mark(block.mark, block.word, marks[block.mark]);
        break;
      case "says":
        this.#barred(() => this.#paragraph(block.text, this.#body, text));
        break;
      case "detail":
        this.#barred(() => this.#paragraph(block.text, this.#small, secondary));
        break;
      case "name":
        this.#name(block.text);
        break;
      case "digits":
        this.#digits(block.text);
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
    const height = this.#y - top - 2;
    this.#pieces.push({ piece: "fill", x: 2, y: top + 1, width: 3, height, colour: this.#theme.bar });
  }

  #paragraph(text: string, size: TextSize, colour: Colour): void {
    const room = this.#width - TEXT_X - 4;
    for (const line of wrap(text, size.capPx, room)) {
      this.#line(line, TEXT_X, this.#y, size, colour, room);
      this.#y += size.pitchPx;
    }
  }

  #mark(mark: Mark, word: string, colour: Colour): void {
    const indent = TEXT_X + MARK_SIZE + 6;
    const room = this.#width - indent - 4;
    const size = textWidth(word, this.#body.capPx) <= room ? this.#body : this.#small;
    const lines = wrap(word, size.capPx, room);
    const height = Math.max(MARK_SIZE + 2, lines.length * size.pitchPx);
    this.#barred(() => {
      const top = this.#y;
      this.#pieces.push({ piece: "shape", x: TEXT_X, y: top + 1, shape: MARK_SHAPES[mark], colour });
      lines.forEach((line, i) => {
        const y = top + Math.floor((height - lines.length * size.pitchPx) / 2) + i * size.pitchPx;
        this.#line(line, indent, y, size, colour, room);
      });
      this.#y += height;
    });
  }

  /** Long names are set smaller rather than cut: two of them may differ in the last letter only. */
  #name(name: string): void {
    const room = this.#width - TEXT_X - 4;
    const size = [this.#names, this.#body].find(({ capPx }) => textWidth(name, capPx) <= room) ?? this.#small;
    this.#paragraph(name, size, this.#theme.text);
  }

  #digits(text: string): void {
    const room = this.#width - 8;
    const capPx = DIGIT_CAPS_PX.find((size) => textWidth(text, size) <= room) ?? DIGIT_CAPS_PX.at(-1)!;
    const height = capPx + 8;
    if (textWidth(text, capPx) > room || this.#y + height > this.#bottom) this.#overflows.push(text);
    this.#text(text, 4, this.#y + capPx + 4, capPx, this.#theme.text, this.#theme.ground);
    this.#y += height;
  }

  #step(row: Progress, rows: number): void {
    const { text, secondary } = this.#theme;
    const colour = row.state === "now" ? FOCUS : row.state === "done" ? text : secondary;
    // Nine steps need the tight pitch, three may breathe.
    const size = rows > 6 ? SMALL : this.#body;
    const labelWidth = 34;
    const room = this.#width - TEXT_X - labelWidth - 22;
    this.#line(row.label, TEXT_X, this.#y, size, colour, labelWidth);
    const shape = STEP_SHAPES[row.state];
    this.#pieces.push({ piece: "shape", x: TEXT_X + labelWidth, y: this.#y + size.ascentPx - 12, shape, colour });
    this.#line(row.text, TEXT_X + labelWidth + 18, this.#y, size, colour, room);
    this.#y += size.pitchPx;
  }

  #row(row: Row, dense: boolean): void {
    const usual = dense ? this.#small : this.#body;
    const labelWidth = Math.max(24, textWidth(row.label, usual.capPx) + 4);
    const noteWidth = row.note === "" ? 0 : textWidth(row.note, usual.capPx) + 6;
    const x = TEXT_X + labelWidth;
    const room = this.#width - x - noteWidth - 4;
    // Only the selected name can be dialled, so it is shown whole; the others may be cut.
    const long = row.selected && textWidth(row.text, usual.capPx) > room;
    const size = long ? this.#small : usual;
    const lines = long ? wrap(row.text, size.capPx, room) : [cut(row.text, size.capPx, room)];
    const height = lines.length * size.pitchPx;
    const ground = row.selected ? FOCUS : this.#theme.ground;
    const colour = row.selected ? BLACK : this.#theme.text;
    if (row.selected) {
      this.#pieces.push({ piece: "fill", x: 0, y: this.#y, width: this.#width, height, colour: FOCUS });
    }
    this.#line(row.label, TEXT_X, this.#y, size, colour, labelWidth, ground);
    lines.forEach((line, i) => {
      this.#line(line, x, this.#y + i * size.pitchPx, size, colour, room, ground);
    });
    if (row.note !== "") this.#line(row.note, this.#width - noteWidth, this.#y, size, colour, noteWidth, ground);
    this.#y += height;
  }

  /** One line whose top is at `y`; whether it fits is noted, not decided. */
  #line(text: string, x: number, y: number, size: TextSize, colour: Colour, room: number, ground?: Colour): void {
    const isPad = y === this.#bottom;
    if (textWidth(text, size.capPx) > room || (!isPad && y + size.pitchPx > this.#bottom)) this.#overflows.push(text);
    this.#text(text, x, y + size.ascentPx, size.capPx, colour, ground ?? this.#theme.ground);
  }

  #text(text: string, x: number, baseline: number, capPx: number, colour: Colour, ground: Colour): void {
    this.#pieces.push({ piece: "text", x, baseline, text, capPx, colour, ground });
  }
}

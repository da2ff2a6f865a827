import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Canvas } from "@feldfon/firmware/handset/drawing/canvas";
import { BLACK, contrast, PAIRS, WHITE } from "@feldfon/firmware/handset/drawing/colours";
import { drawScreen } from "@feldfon/firmware/handset/drawing/draw";
import { textWidth } from "@feldfon/firmware/handset/drawing/glyphs";
import { layoutOf, type Piece } from "@feldfon/firmware/handset/drawing/layout";
import { cut, wrap } from "@feldfon/firmware/handset/drawing/wrap";
import { screenOf } from "@feldfon/firmware/handset/screens";
import { LANGUAGES, type Language } from "@feldfon/firmware/handset/texts";
import { pngOf } from "@feldfon/hw/display/png";
import type { Frame } from "@feldfon/hw/display/port";
import fc from "fast-check";
import { samples } from "../samples.ts";

const vectors = new URL("../../../vectors/screens.json", import.meta.url);
const sizes = [
  [240, 240],
  [320, 240],
] as const;

/** SHA-256 of the pixels, high byte first, as a panel takes them. */
function hashOf(frame: Frame): string {
  return hash("sha256", bytesOf(frame), "hex");
}

function bytesOf(frame: Frame): Buffer {
  const bytes = Buffer.alloc(2 * frame.length);
  frame.forEach((pixel, i) => {
    bytes.writeUInt16BE(pixel, 2 * i);
  });
  return bytes;
}

/** Recorded pictures are kept outside the repository, so that a change can be looked at: before, now, difference. */
const looked = join(tmpdir(), "feldfon-screens");

/** @returns the file with want, got and what differs beside each other; without a picture of before, got alone */
function drawnForEyes(key: string, got: Frame, width: number, height: number): string {
  mkdirSync(looked, { recursive: true });
  const raw = join(looked, `${key}.rgb565`);
  const file = join(looked, `${key}.png`);
  if (!existsSync(raw)) {
    writeFileSync(file, pngOf(got, width, height));
    return `${file}; no picture of before here: FELDFON_RECORD=screens on the commit before makes one`;
  }
  const bytes = readFileSync(raw);
  const want = Uint16Array.from(got, (_, i) => bytes.readUInt16BE(2 * i));
  const difference = got.map((pixel, i) => (pixel === want[i] ? 0 : 0xf81f));
  const sheet = new Uint16Array(3 * got.length);
  for (const [column, frame] of [want, got, difference].entries()) {
    for (let y = 0; y < height; y++) sheet.set(frame.subarray(y * width, (y + 1) * width), (3 * y + column) * width);
  }
  writeFileSync(file, pngOf(sheet, 3 * width, height));
  return `${file}; if it should have changed: FELDFON_RECORD=screens npm test`;
}

describe("pictures of the screens", () => {
  const keyScreens = [
    "start-failed",
    "making-key",
    "pin-choose",
    "pin-duress",
    "pin-typed",
    "pin-wrong",
    "pin-waits",
    "pin-missed",
    "pin-device-gone",
    "pin-old",
    "off",
    "off-with-pin",
    "about",
    "connecting",
    "verified",
    "lost",
    "refused",
    "alarm-server-key",
    "alarm-root",
    "alarm-two-directories",
    "phonebook",
    "dial",
    "dial-changed",
    "dialling",
    "ringing-out",
    "incoming",
    "answering",
    "in-call",
    "in-call-talk",
    "in-call-later",
    "in-call-muted",
    "sas-differs",
    "ended-hung-up-there",
    "ended-line-lost",
    "ended-busy",
    "ended-declined",
    "ended-silent",
    "ended-offline",
    "ended-unknown",
    "ended-self",
    "ended-not-authentic",
    "missed",
    "updating",
    "updated-other",
    "changes",
    "battery-low",
  ];
  const wanted = JSON.parse(readFileSync(vectors, "utf8")) as { frames: Record<string, string> };
  const drawn: Record<string, string> = {};

  for (const language of LANGUAGES) {
    for (const [width, height] of sizes) {
      for (const name of keyScreens) {
        const key = `${name} ${language} ${width}x${height}`;
        it(`are what they were: ${key}`, () => {
          const frame = drawScreen(screenOf(samples[name]!, language), width, height);
          drawn[key] = hashOf(frame);
          if (process.env.FELDFON_RECORD === "screens") {
            mkdirSync(looked, { recursive: true });
            writeFileSync(join(looked, `${key}.rgb565`), bytesOf(frame));
          }
          if (drawn[key] === wanted.frames[key]) return;
          if (process.env.FELDFON_RECORD !== "screens") {
            assert.fail(`${key} has changed; for eyes: ${drawnForEyes(key, frame, width, height)}`);
          }
        });
      }
    }
  }

  it("are all recorded, and no others", () => {
    if (process.env.FELDFON_RECORD === "screens") {
      const comment = "SHA-256 of the frame, RGB565, high byte first. Recorded: FELDFON_RECORD=screens npm test";
      writeFileSync(vectors, `${JSON.stringify({ comment, frames: drawn }, null, 2)}\n`);
      return;
    }
    assert.deepEqual(Object.keys(wanted.frames).sort(), Object.keys(drawn).sort());
  });
});

describe("drawing", () => {
  it("draws the same screen the same, always", () => {
    for (const state of Object.values(samples)) {
      const screen = screenOf(state, "de");
      assert.deepEqual(drawScreen(screen, 240, 240), drawScreen(screen, 240, 240));
    }
  });

  it("draws no two different screens alike", () => {
    const seen = new Map<string, string>();
    for (const [name, state] of Object.entries(samples)) {
      const { facts: _facts, name: _name, ...visible } = screenOf(state, "en");
      const model = JSON.stringify(visible);
      const frame = hashOf(drawScreen(screenOf(state, "en"), 240, 240));
      const before = seen.get(frame);
      assert.ok(before === undefined || before === model, name);
      seen.set(frame, model);
    }
  });

  it("cuts off what lies outside the frame, on every side", () => {
    const canvas = new Canvas(8, 4);
    canvas.fill(-5, -5, 100, 100, 0x1234);
    assert.ok(canvas.frame.every((pixel) => pixel === 0x1234));
    canvas.text(-6, 2, "WÄg", 22, WHITE);
    canvas.shape(-1, -1, ["##", "##"], 1, BLACK);
    assert.equal(canvas.frame[0], BLACK);
    assert.equal(canvas.frame.length, 32);
  });

  it("blends full colour to that colour, and nothing to what was there", () => {
    const canvas = new Canvas(40, 40);
    canvas.fill(0, 0, 40, 40, 0xf81f);
    canvas.text(5, 30, "I", 28, 0x07e0);
    assert.ok(canvas.frame.includes(0x07e0) && canvas.frame.includes(0xf81f));
  });
});

describe("colours", () => {
  for (const [text, ground] of PAIRS) {
    const hex = (colour: number) => colour.toString(16).padStart(4, "0");
    it(`can be read: ${hex(text)} on ${hex(ground)} is 7:1 or more`, () => {
      assert.ok(contrast(text, ground) >= 7, String(contrast(text, ground)));
    });
  }

  it("are measured as WCAG measures: black on white is 21, a colour on itself 1", () => {
    assert.equal(contrast(BLACK, WHITE), 21);
    assert.equal(contrast(0x570d, 0x570d), 1);
    // screen.md 7, computed there independently.
    assert.equal(contrast(0xfe00, BLACK).toFixed(1), "13.1");
    assert.equal(contrast(WHITE, 0x7800).toFixed(1), "11.4");
  });

  it("lie on each other only in pairs that were measured", () => {
    const measured = new Set(PAIRS.map(([text, ground]) => `${text} on ${ground}`));
    for (const [name, state] of Object.entries(samples)) {
      const { pieces } = layoutOf(screenOf(state, "de"), 240, 240);
      for (const piece of pieces) {
        if (piece.piece === "fill") continue;
        const below = piece.ground;
        assert.ok(
          measured.has(`${piece.colour} on ${below}`),
          `${name}: ${piece.colour.toString(16)} on ${below.toString(16)}`,
        );
      }
    }
  });

  it("of text and shapes are told truly: what is said to lie below it does", () => {
    for (const [name, state] of Object.entries(samples)) {
      const { pieces, ground } = layoutOf(screenOf(state, "de"), 240, 240);
      for (const [i, piece] of pieces.entries()) {
        if (piece.piece === "fill") continue;
        const y = piece.piece === "text" ? piece.baseline - 2 : piece.y + 1;
        const fills = pieces
          .slice(0, i)
          .filter((below): below is Extract<Piece, { piece: "fill" }> => below.piece === "fill");
        const covering = fills.findLast(
          (fill) => piece.x >= fill.x && piece.x < fill.x + fill.width && y >= fill.y && y < fill.y + fill.height,
        );
        assert.equal(covering?.colour ?? ground, piece.ground, `${name}: ${JSON.stringify(piece)}`);
      }
    }
  });
});

describe("the bar of the handset", () => {
  it("stands along the handset's own words and never along a name", () => {
    for (const language of LANGUAGES) {
      for (const [name, state] of Object.entries(samples)) checkBars(name, language, state);
    }
  });

  function checkBars(name: string, language: Language, state: (typeof samples)[string]): void {
    const screen = screenOf(state, language);
    const { pieces } = layoutOf(screen, 240, 240);
    const bars = pieces.filter((piece) => piece.piece === "fill" && piece.x === 2 && piece.width === 3);
    const barred = (baseline: number) =>
      bars.some((bar) => bar.piece === "fill" && baseline > bar.y && baseline <= bar.y + bar.height + 2);
    const texts = (wanted: string) => pieces.filter((piece) => piece.piece === "text" && piece.text === wanted);
    for (const block of screen.blocks) {
      if (block.block === "name") {
        for (const piece of texts(block.text))
          assert.equal(piece.piece === "text" && barred(piece.baseline), false, name);
      }
      if (block.block === "list") {
        for (const row of block.rows) {
          for (const piece of texts(row.text))
            assert.equal(piece.piece === "text" && barred(piece.baseline), false, name);
        }
      }
      if (block.block === "detail" || block.block === "says") {
        for (const piece of texts(block.text))
          assert.equal(piece.piece === "text" && barred(piece.baseline), true, name);
      }
    }
  }
});

describe("lines", () => {
  it("break at spaces", () => {
    assert.deepEqual(wrap("one two three", 22, textWidth("one two", 22)), ["one two", "three"]);
  });

  it("break behind a hyphen", () => {
    assert.deepEqual(wrap("SRTP-Schlüssel", 22, textWidth("SRTP-Schlüs", 22)), ["SRTP-", "Schlüssel"]);
  });

  it("break Chinese between any two characters, but not before a full stop or behind an opening bracket", () => {
    const width = textWidth("电话簿已", 22);
    assert.deepEqual(wrap("电话簿已变化。", 22, width), ["电话簿已", "变化。"]);
    assert.deepEqual(wrap("电话簿已。变", 22, width), ["电话簿", "已。变"]);
    assert.deepEqual(wrap("电话簿（变）", 22, width), ["电话簿", "（变）"]);
  });

  it("break a word that is too long wherever they must", () => {
    const lines = wrap("W".repeat(32), 22, 100);
    assert.equal(lines.join(""), "W".repeat(32));
    assert.ok(lines.length > 1);
  });

  it("keep every character and never get wider than they may", () => {
    const text = fc.string({ unit: fc.constantFrom(..."ab -ßÜ陈，（。W"), maxLength: 60 });
    fc.assert(
      fc.property(text, fc.integer({ min: 40, max: 300 }), (words, width) => {
        const lines = wrap(words, 18, width);
        assert.equal(lines.join("").replaceAll(" ", ""), words.replaceAll(" ", ""));
        for (const line of lines) assert.ok(textWidth(line, 18) <= width, line);
      }),
    );
  });

  it("show by … where a text was cut, and cut nothing that fits", () => {
    assert.equal(cut("Ben", 22, 200), "Ben");
    const short = cut("Benjamin Benjaminson", 22, 130);
    assert.match(short, /^Benja.*…$/);
    assert.ok(textWidth(short, 22) <= 130);
  });
});

/** Outlines of characters from a WOFF file. */
import { inflateSync } from "node:zlib";
import opentype, { type Font } from "opentype.js";

export type Point = readonly [x: number, y: number];

/** Of one character, in ems: x to the right, y upwards from the base line. */
export interface Outline {
  readonly advance: number;
  /** Closed; curves are already lines. */
  readonly contours: readonly (readonly Point[])[];
}

/** A curve is drawn as this many lines. */
const CHORDS = 8;

export class Outlines {
  /** Ascending. */
  readonly codePoints: readonly number[];
  readonly #font: Font;

  constructor(woff: Buffer) {
    const sfnt = unwrapWoff(woff);
    this.#font = opentype.parse(sfnt.buffer.slice(sfnt.byteOffset, sfnt.byteOffset + sfnt.length) as ArrayBuffer);
    this.codePoints = Object.keys(this.#font.tables.cmap.glyphIndexMap)
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** @param codePoint one of `codePoints` */
  of(codePoint: number): Outline {
    const { unitsPerEm, tables, glyphs } = this.#font;
    const glyph = glyphs.get(tables.cmap.glyphIndexMap[codePoint]!);
    const em = (x: number, y: number): Point => [x / unitsPerEm, y / unitsPerEm];
    const contours: Point[][] = [];
    let contour: Point[] = [];
    for (const command of glyph.path.commands) {
      switch (command.type) {
        case "M":
          contour = [em(command.x, command.y)];
          contours.push(contour);
          break;
        case "L":
          contour.push(em(command.x, command.y));
          break;
        case "Q":
          contour.push(...curve(contour.at(-1)!, em(command.x1, command.y1), em(command.x, command.y)));
          break;
        case "Z":
          break;
        default:
          throw new Error("the font has cubic curves; TrueType outlines were expected");
      }
    }
    return { advance: glyph.advanceWidth / unitsPerEm, contours };
  }
}

/** Quadratic Bézier without its first point. */
function curve(from: Point, pull: Point, to: Point): Point[] {
  return Array.from({ length: CHORDS }, (_, i): Point => {
    const t = (i + 1) / CHORDS;
    const [a, b, c] = [(1 - t) * (1 - t), 2 * t * (1 - t), t * t];
    return [a * from[0] + b * pull[0] + c * to[0], a * from[1] + b * pull[1] + c * to[1]];
  });
}

/**
 * WOFF 1.0 to the plain font file inside (W3C WOFF §3 to §5). Done here since opentype.js fails on some tables.
 *
 *     WOFF   signature u32 | flavor u32 | length u32 | tables u16 | ...          44 bytes, then per table
 *            tag | offset u32 | packed bytes u32 | bytes u32 | checksum u32      20 bytes
 *     sfnt   flavor u32 | tables u16 | 3 x u16 for searching                     12 bytes, then per table
 *            tag | checksum u32 | offset u32 | bytes u32                         16 bytes
 */
export function unwrapWoff(woff: Buffer): Buffer {
  if (woff.toString("latin1", 0, 4) !== "wOFF") throw new Error("not a WOFF file");
  const count = woff.readUInt16BE(12);
  const head = Buffer.alloc(12 + 16 * count);
  woff.copy(head, 0, 4, 8);
  head.writeUInt16BE(count, 4);
  const bodies: Buffer[] = [];
  let at = head.length;
  for (let i = 0; i < count; i++) {
    const entry = 44 + 20 * i;
    const [offset, packedBytes, bytes] = [4, 8, 12].map((field) => woff.readUInt32BE(entry + field)) as [
      number,
      number,
      number,
    ];
    const packed = woff.subarray(offset, offset + packedBytes);
    const table = packedBytes < bytes ? inflateSync(packed) : packed;
    if (table.length !== bytes) throw new Error("a table of the WOFF file has another length than it says");
    const place = 12 + 16 * i;
    woff.copy(head, place, entry, entry + 4);
    woff.copy(head, place + 4, entry + 16, entry + 20);
    head.writeUInt32BE(at, place + 8);
    head.writeUInt32BE(bytes, place + 12);
    const padded = Buffer.alloc(Math.ceil(bytes / 4) * 4);
    table.copy(padded);
    bodies.push(padded);
    at += padded.length;
  }
  return Buffer.concat([head, ...bodies]);
}

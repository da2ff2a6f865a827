/**
 * The lettering as files: one for each size, made by `fonts/build.ts` at build time, read at the start.
 *
 *     0      4        6           8
 *     +------+--------+-----------+----------- ... -+------------- ... -+
 *     | FFGA | size   | pictures  | 12 a picture    | pictures          |     numbers big-endian
 *     +------+--------+-----------+----------- ... -+------------- ... -+
 *              u16      u16
 *
 *     picture's entry, by ascending code point:
 *     0        3      4     5       6      7         8         12
 *     +--------+------+-----+-------+------+---------+---------+
 *     | code   | left | top | width |height| advance | offset  |    u24, 2 x i8, 3 x u8, u32 from the file's start
 *     +--------+------+-----+-------+------+---------+---------+
 *
 *     picture: width x height pixels of 4 bits, row by row, the left one in the high half of a byte
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DeviceError } from "@feldfon/protocol/errors";

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

/** Height of an em in pixels. 18 is the smallest that is read well; 40 has digits and the colon only. */
export const SIZES = [18, 22, 28, 40] as const;
export type SizePx = (typeof SIZES)[number];
export const DIGITS_SIZE: SizePx = 40;

/** SHA-256 of the font file. It names the atlas files, so that one made from another font is never taken. */
export const FONT_SHA256 = "2e4f89d0a696b54f3984fb85ffa0a681206de896cb239e550b1a4a8465ac6d9c";
/** Counted up when the same font gives other pictures or another layout. */
const VERSION = 1;

/** `.cache/atlas`, or `dist/.cache/atlas` for what is compiled. */
export const ATLAS_FOLDER = join(import.meta.dirname, "../../../.cache/atlas");

export function atlasFile(sizePx: SizePx): string {
  return join(ATLAS_FOLDER, `${FONT_SHA256.slice(0, 16)}-v${VERSION}-${sizePx}.atlas`);
}

const MAGIC = "FFGA";
const HEAD_BYTES = 8;
const ENTRY_BYTES = 12;

/** @param glyphs by ascending code point */
export function encodeAtlas(sizePx: number, glyphs: readonly (readonly [codePoint: number, glyph: Glyph])[]): Buffer {
  const head = Buffer.alloc(HEAD_BYTES + ENTRY_BYTES * glyphs.length);
  head.write(MAGIC, "latin1");
  head.writeUInt16BE(sizePx, 4);
  head.writeUInt16BE(glyphs.length, 6);
  const pictures: Buffer[] = [];
  let offset = head.length;
  glyphs.forEach(([codePoint, { left, top, width, height, advance, alpha }], i) => {
    const at = HEAD_BYTES + ENTRY_BYTES * i;
    head.writeUIntBE(codePoint, at, 3);
    head.writeInt8(left, at + 3);
    head.writeInt8(top, at + 4);
    head.set([width, height, advance], at + 5);
    head.writeUInt32BE(offset, at + 8);
    const picture = Buffer.alloc(Math.ceil(alpha.length / 2));
    alpha.forEach((value, pixel) => {
      picture[pixel >> 1]! |= pixel % 2 === 0 ? value << 4 : value;
    });
    pictures.push(picture);
    offset += picture.length;
  });
  return Buffer.concat([head, ...pictures]);
}

/** One size of the lettering. */
export class Atlas {
  readonly #bytes: Buffer;
  readonly #count: number;

  /** @throws {DeviceError} `display` when this is no atlas of that size */
  constructor(bytes: Buffer, sizePx: number) {
    if (bytes.toString("latin1", 0, 4) !== MAGIC || bytes.readUInt16BE(4) !== sizePx) {
      throw new DeviceError("display", `the lettering of ${sizePx} pixels is damaged; remove ${ATLAS_FOLDER}`);
    }
    this.#bytes = bytes;
    this.#count = bytes.readUInt16BE(6);
  }

  /** @returns `undefined` for a character that the font does not have */
  find(codePoint: number): Glyph | undefined {
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#codePoint(middle) < codePoint) low = middle + 1;
      else high = middle;
    }
    return low < this.#count && this.#codePoint(low) === codePoint ? this.#glyph(low) : undefined;
  }

  #codePoint(index: number): number {
    return this.#bytes.readUIntBE(HEAD_BYTES + ENTRY_BYTES * index, 3);
  }

  #glyph(index: number): Glyph {
    const at = HEAD_BYTES + ENTRY_BYTES * index;
    const [width, height, advance] = this.#bytes.subarray(at + 5, at + 8) as unknown as [number, number, number];
    const picture = this.#bytes.subarray(this.#bytes.readUInt32BE(at + 8));
    const alpha = new Uint8Array(width * height);
    for (let pixel = 0; pixel < alpha.length; pixel++) {
      const pair = picture[pixel >> 1]!;
      alpha[pixel] = pixel % 2 === 0 ? pair >> 4 : pair & 15;
    }
    return { advance, left: this.#bytes.readInt8(at + 3), top: this.#bytes.readInt8(at + 4), width, height, alpha };
  }
}

const atlases = new Map<SizePx, Atlas>();

/** @throws {DeviceError} `display` when there is none and none can be made */
export function atlasOf(sizePx: SizePx): Atlas {
  let atlas = atlases.get(sizePx);
  if (!atlas) {
    const file = atlasFile(sizePx);
    if (!existsSync(file)) makeAtlases();
    atlas = new Atlas(readFileSync(file), sizePx);
    atlases.set(sizePx, atlas);
  }
  return atlas;
}

/** A developer's first start without `make`. An image has its atlases, and neither the font nor opentype.js. */
function makeAtlases(): void {
  const build = join(import.meta.dirname, "../../../fonts/build.ts");
  if (!existsSync(build)) throw new DeviceError("display", `the lettering is missing in ${ATLAS_FOLDER}`);
  process.stderr.write("feldfon: making the display's lettering, once; this takes some seconds\n");
  const { status } = spawnSync(process.execPath, [build], { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new DeviceError("display", "the lettering could not be made, see above");
}

import { crc32, deflateSync } from "node:zlib";
import type { Frame } from "./port.ts";

/**
 * A frame as a PNG file for people (W3C PNG, 8 bits, filter 0): by palette while there are no more than 256 colours,
 * as on every screen of ours, else RGB. Tests compare pixels, never these bytes.
 */
export function pngOf(frame: Frame, width: number, height: number): Buffer {
  const colours = [...new Set(frame)];
  const byPalette = colours.length <= 256;
  const index = new Map(colours.map((colour, i) => [colour, [i]] as const));
  const pixelBytes = byPalette ? 1 : 3;
  const rows = Buffer.alloc(height * (1 + pixelBytes * width));
  for (let y = 0; y < height; y++) {
    let at = y * (1 + pixelBytes * width) + 1;
    for (let x = 0; x < width; x++) {
      const pixel = frame[y * width + x]!;
      rows.set(byPalette ? index.get(pixel)! : rgbOf(pixel), at);
      at += pixelBytes;
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, byPalette ? 3 : 2], 8); // 8 bits a channel or index; deflate, filter and interlace stay 0
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([
    signature,
    chunk("IHDR", head),
    ...(byPalette ? [chunk("PLTE", Buffer.from(colours.flatMap(rgbOf)))] : []),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Black to black and white to white. */
function rgbOf(pixel: number): [red: number, green: number, blue: number] {
  const [red, green, blue] = [pixel >> 11, (pixel >> 5) & 63, pixel & 31];
  return [(red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2)];
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

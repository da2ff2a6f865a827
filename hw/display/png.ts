import { crc32, deflateSync } from "node:zlib";
import type { Frame } from "./port.ts";

/** A frame as a PNG file for people (W3C PNG, 8-bit RGB, filter 0). Tests compare pixels, never these bytes. */
export function pngOf(frame: Frame, width: number, height: number): Buffer {
  const rows = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) {
    let at = y * (1 + 3 * width) + 1;
    for (let x = 0; x < width; x++) {
      const pixel = frame[y * width + x]!;
      const [red, green, blue] = [pixel >> 11, (pixel >> 5) & 63, pixel & 31];
      rows[at++] = (red << 3) | (red >> 2);
      rows[at++] = (green << 2) | (green >> 4);
      rows[at++] = (blue << 3) | (blue >> 2);
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8); // 8 bits a channel, RGB; deflate, filter and interlace stay 0
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([
    signature,
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}

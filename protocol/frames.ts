/**
 * Frames cut a byte stream into message bodies (seed 003: send_frame, recv_frame).
 *
 *     0        4               4 + length
 *     +--------+---------------+
 *     | length | body          |      length: uint32, big-endian, bytes of body
 *     +--------+---------------+
 */
import { concat, u32, viewOf } from "./bytes.ts";
import { ProtocolError } from "./errors.ts";

export const HEADER_BYTES = 4;
export const MAX_BODY_BYTES = 10 * 1024 * 1024;
/** Until a peer has proven itself. */
export const MAX_UNPROVEN_BODY_BYTES = 16 * 1024;

/** @throws {ProtocolError} `frame-too-long` */
export function encodeFrame(body: Uint8Array): Buffer {
  return concat(u32(checkedLength(body.length, MAX_BODY_BYTES)), body);
}

/** Yields whole bodies as the wire delivers their bytes, oldest first. No byte is copied twice, and a whole frame never. */
export class FrameReader {
  /** Of the header or body that has begun, as it came. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #bodyBytes: number | undefined;
  /** Raised to `MAX_BODY_BYTES` once the peer has proven itself; holds from the next header on. */
  maxBodyBytes = MAX_UNPROVEN_BODY_BYTES;

  /** Bytes of a frame that has begun and not ended: a line that closes now was cut. */
  get pendingBytes(): number {
    return this.#restBytes + (this.#bodyBytes === undefined ? 0 : HEADER_BYTES);
  }

  /**
   * @returns bodies, which may be pieces of the chunk
   * @throws {ProtocolError} `frame-too-long`, from the header alone, before any body is kept.
   */
  *read(chunk: Uint8Array): Generator<Buffer> {
    const come = viewOf(chunk);
    // Mostly a chunk is one frame or several, whole, and nothing has begun before.
    let at = 0;
    while (this.pendingBytes === 0 && come.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + checkedLength(come.readUInt32BE(at), this.maxBodyBytes);
      if (end > come.length) break;
      yield come.subarray(at + HEADER_BYTES, end);
      at = end;
    }
    if (at < come.length) yield* this.#readPieces(at === 0 ? come : come.subarray(at));
  }

  *#readPieces(come: Buffer): Generator<Buffer> {
    let left = come;
    for (;;) {
      if (this.#bodyBytes === undefined) {
        if (this.#restBytes + left.length < HEADER_BYTES) break;
        const header = this.#join(left, HEADER_BYTES);
        left = header.left;
        this.#bodyBytes = checkedLength(header.taken.readUInt32BE(), this.maxBodyBytes);
      }
      if (this.#restBytes + left.length < this.#bodyBytes) break;
      const body = this.#join(left, this.#bodyBytes);
      left = body.left;
      this.#bodyBytes = undefined;
      yield body.taken;
    }
    if (left.length === 0) return;
    this.#rest.push(left);
    this.#restBytes += left.length;
  }

  /** The next n bytes: what was kept, and the first of what has come. Both together are enough. */
  #join(come: Buffer, n: number): { taken: Buffer; left: Buffer } {
    const missing = n - this.#restBytes;
    const left = come.subarray(missing);
    const taken = this.#rest.length === 0 ? come.subarray(0, n) : concat(...this.#rest, come.subarray(0, missing));
    this.#rest = [];
    this.#restBytes = 0;
    return { taken, left };
  }
}

function checkedLength(bytes: number, maxBytes: number): number {
  if (bytes > maxBytes)
    throw new ProtocolError("frame-too-long", `a frame of ${bytes} bytes came, at most ${maxBytes} are allowed`);
  return bytes;
}

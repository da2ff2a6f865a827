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
    let at = 0;
    for (;;) {
      const end = at + (this.#bodyBytes ?? HEADER_BYTES) - this.#restBytes;
      if (end > come.length) break;
      const whole = this.#joined(come.subarray(at, end));
      at = end;
      if (this.#bodyBytes === undefined) {
        this.#bodyBytes = checkedLength(whole.readUInt32BE(), this.maxBodyBytes);
      } else {
        this.#bodyBytes = undefined;
        yield whole;
      }
    }
    if (at === come.length) return;
    this.#rest.push(come.subarray(at));
    this.#restBytes += come.length - at;
  }

  /** What was kept, and what it waited for. */
  #joined(last: Buffer): Buffer {
    if (this.#rest.length === 0) return last;
    const whole = concat(...this.#rest, last);
    this.#rest = [];
    this.#restBytes = 0;
    return whole;
  }
}

function checkedLength(bytes: number, maxBytes: number): number {
  if (bytes > maxBytes)
    throw new ProtocolError("frame-too-long", `a frame of ${bytes} bytes came, at most ${maxBytes} are allowed`);
  return bytes;
}

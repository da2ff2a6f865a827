/**
 * Frames cut a byte stream into message bodies (seed 003: send_frame, recv_frame).
 *
 *     0        4               4 + length
 *     +--------+---------------+
 *     | length | body          |      length: uint32, big-endian, bytes of body
 *     +--------+---------------+
 */
import { concat, u32 } from "./bytes.ts";
import { ProtocolError } from "./errors.ts";

export const HEADER_BYTES = 4;
export const MAX_BODY_BYTES = 10 * 1024 * 1024;
/** Until a peer has proven itself. */
export const MAX_UNPROVEN_BODY_BYTES = 16 * 1024;

/** @throws {ProtocolError} `frame-too-long` */
export function encodeFrame(body: Uint8Array): Buffer {
  return concat(encodeFrameHeader(body.length), body);
}

/** What stands in front of the body, for those who send it without copying it. @throws {ProtocolError} `frame-too-long` */
export function encodeFrameHeader(bodyBytes: number): Buffer {
  return u32(checkedLength(bodyBytes, MAX_BODY_BYTES));
}

/** Collects chunks as the wire delivers them and yields whole bodies, oldest first. Each byte is copied once. */
export class FrameReader {
  readonly #chunks = new ChunkQueue();
  #bodyBytes: number | undefined;
  /** Raised to `MAX_BODY_BYTES` once the peer has proven itself; holds from the next header on. */
  maxBodyBytes = MAX_UNPROVEN_BODY_BYTES;

  /** Bytes of a frame that has begun and not ended: a line that closes now was cut. */
  get pendingBytes(): number {
    return this.#chunks.bytes + (this.#bodyBytes === undefined ? 0 : HEADER_BYTES);
  }

  /** @throws {ProtocolError} `frame-too-long`, from the header alone, before any body is kept. */
  *read(chunk: Uint8Array): Generator<Buffer> {
    this.#chunks.push(chunk);
    for (;;) {
      if (this.#bodyBytes === undefined) {
        const header = this.#chunks.take(HEADER_BYTES);
        if (!header) return;
        this.#bodyBytes = checkedLength(header.readUInt32BE(), this.maxBodyBytes);
      }
      const body = this.#chunks.take(this.#bodyBytes);
      if (!body) return;
      this.#bodyBytes = undefined;
      yield body;
    }
  }
}

function checkedLength(bytes: number, maxBytes: number): number {
  if (bytes > maxBytes)
    throw new ProtocolError("frame-too-long", `a frame of ${bytes} bytes came, at most ${maxBytes} are allowed`);
  return bytes;
}

/** Chunks in the order they came; gives them back in other sizes. */
class ChunkQueue {
  #chunks: Uint8Array[] = [];
  bytes = 0;

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** The oldest n bytes as one Buffer, or undefined while fewer are there. */
  take(n: number): Buffer | undefined {
    if (this.bytes < n) return undefined;
    const taken = Buffer.allocUnsafe(n);
    let filled = 0;
    let used = 0;
    while (filled < n) {
      const chunk = this.#chunks[used]!;
      const part = chunk.subarray(0, n - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) used++;
      else this.#chunks[used] = chunk.subarray(part.length);
    }
    this.#chunks.splice(0, used);
    this.bytes -= n;
    return taken;
  }
}

/**
 * The small change of the wire: integers big-endian, LP(x) = u32 length | x, and a reader that leaves nothing over.
 * Source: wire.md 1.
 */
import { randomBytes } from "node:crypto";
import { ProtocolError } from "./errors.ts";

export function u8(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(1);
  bytes.writeUInt8(value);
  return bytes;
}

export function u16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** `u32` into its place, without a look at the range: for lengths of what is in memory. */
export function putU32(bytes: Buffer, value: number, at: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Epochs, counters and times stay below 2^53, so a number holds them; the wire has room for 64 bits. */
export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  putU64(bytes, value, 0);
  return bytes;
}

/** `u64` into its place. */
export function putU64(bytes: Buffer, value: number, at: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no whole number below 2^53`);
  putU32(bytes, Math.floor(value / 0x1_0000_0000), at);
  putU32(bytes, value % 0x1_0000_0000, at + 4);
}

/** @throws {ProtocolError} `malformed` above 2^53 - 1 */
export function readU64(bytes: Buffer, at: number): number {
  const value = bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw new ProtocolError("malformed", "an integer above 2^53 - 1 came");
  return value;
}

/** u32 length | x */
export function lp(bytes: Uint8Array): Buffer {
  return concat(u32(bytes.length), bytes);
}

const BLOCK_BYTES = 4096;
let block = Buffer.alloc(0);

/**
 * Random bytes for what everybody may see (tags, branches, relay ids, nonces), never for secrets: drawn by the block, a
 * draw of 32 bytes costs as much as one of thousands.
 */
export function publicBytes(bytes: number): Buffer {
  if (block.length < bytes) block = randomBytes(Math.max(bytes, BLOCK_BYTES));
  const drawn = block.subarray(0, bytes);
  block = block.subarray(bytes);
  return drawn;
}

/** The same bytes as a Buffer; no copy. */
export function viewOf(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** `Buffer.concat` in half its time: parts are known to be bytes here, and are not asked one by one. */
export function concat(...parts: Uint8Array[]): Buffer {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** For public values only: the time it takes tells where they differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Reads a body from its first byte to its last; what is missing or left over is `malformed`. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  /** @param what names the body in errors, e.g. "M1" */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = viewOf(bytes);
    this.#what = what;
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Bytes read so far: "all bytes in front of the signature". */
  get before(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** @throws {ProtocolError} `malformed` when fewer bytes are left */
  take(bytes: number): Buffer {
    if (this.left < bytes) {
      throw new ProtocolError("malformed", `${this.#what}: ${bytes} bytes wanted at ${this.#at}, ${this.left} left`);
    }
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  u8(): number {
    return this.take(1)[0]!;
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  /** @throws {ProtocolError} `malformed` above 2^53 - 1 */
  u64(): number {
    return readU64(this.take(8), 0);
  }

  lp(): Buffer {
    return this.take(this.u32());
  }

  rest(): Buffer {
    return this.take(this.left);
  }

  /** A byte that has one lawful value, such as a version. */
  expect(bytes: Uint8Array): void {
    if (!equalBytes(this.take(bytes.length), bytes)) {
      throw new ProtocolError("malformed", `${this.#what}: another value than ${Buffer.from(bytes).toString("hex")}`);
    }
  }

  /** @throws {ProtocolError} `malformed` when bytes are left over */
  end(): void {
    if (this.left > 0) throw new ProtocolError("malformed", `${this.#what}: ${this.left} bytes left over`);
  }
}

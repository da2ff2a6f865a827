/**
 * WAV files (RIFF, little-endian): PCM of 8, 16 or 24 bits with one or two channels is read, 16 bit mono is written.
 *
 *     0      4      8      12     16        20                        36     40     44
 *     +------+------+------+------+---------+-------------------------+------+------+----------
 *     | RIFF | size | WAVE | fmt  | 16      | format, channels, rate, | data | size | samples ..
 *     |      |      |      |      |         | bytes/s, block, bits    |      |      |
 *     +------+------+------+------+---------+-------------------------+------+------+----------
 */
import { type FileHandle, open } from "node:fs/promises";
import { DeviceError } from "@feldfon/protocol/errors";

const HEADER_BYTES = 44;
const PCM = 1;
const EXTENSIBLE = 0xfffe;
const MIN_RATE_HZ = 4000;
const MAX_RATE_HZ = 192_000;

/** One channel (two are averaged), full scale 32,768; 8, 16 and 24 bits are exact. */
export interface Clip {
  rateHz: number;
  samples: Float32Array;
}

interface Format {
  channels: number;
  rateHz: number;
  bits: number;
}

/** @throws {DeviceError} `bad-wav` with what came and what was expected */
export function parseWav(file: Uint8Array): Clip {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  if (bytes.toString("latin1", 0, 4) !== "RIFF" || bytes.toString("latin1", 8, 12) !== "WAVE")
    throw bad("no RIFF WAVE");
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString("latin1", at, at + 4);
    const size = bytes.readUInt32LE(at + 4);
    const chunk = bytes.subarray(at + 8, at + 8 + size);
    if (chunk.length < size) throw bad(`a chunk of ${size} bytes is cut at ${chunk.length}`);
    if (id === "fmt ") format = parseFormat(chunk);
    if (id === "data") {
      if (!format) throw bad("samples before their format");
      return { rateHz: format.rateHz, samples: decode(chunk, format) };
    }
    at += 8 + size + (size % 2); // chunks begin at even places
  }
  throw bad("no samples");
}

function parseFormat(chunk: Buffer): Format {
  if (chunk.length < 16) throw bad(`a format of ${chunk.length} bytes`);
  const tag = chunk.readUInt16LE(0);
  // The extensible form names PCM in the first two bytes of a GUID.
  const code = tag === EXTENSIBLE && chunk.length >= 40 ? chunk.readUInt16LE(24) : tag;
  const channels = chunk.readUInt16LE(2);
  const rateHz = chunk.readUInt32LE(4);
  const blockBytes = chunk.readUInt16LE(12);
  const bits = chunk.readUInt16LE(14);
  if (code !== PCM) throw bad(`coding ${code}, PCM was expected`);
  if (channels !== 1 && channels !== 2) throw bad(`${channels} channels, 1 or 2 were expected`);
  if (bits !== 8 && bits !== 16 && bits !== 24) throw bad(`${bits} bits, 8, 16 or 24 were expected`);
  if (rateHz < MIN_RATE_HZ || rateHz > MAX_RATE_HZ) throw bad(`${rateHz} samples a second`);
  if (blockBytes !== (channels * bits) / 8) throw bad(`blocks of ${blockBytes} bytes`);
  return { channels, rateHz, bits };
}

function decode(data: Buffer, { channels, bits }: Format): Float32Array {
  const sampleBytes = bits / 8;
  const blockBytes = sampleBytes * channels;
  const read = (at: number): number => {
    if (bits === 8) return (data[at]! - 128) * 256; // the only unsigned one
    if (bits === 16) return data.readInt16LE(at);
    return data.readIntLE(at, 3) / 256;
  };
  return Float32Array.from({ length: Math.floor(data.length / blockBytes) }, (_, block) => {
    const left = read(block * blockBytes);
    return channels === 1 ? left : (left + read(block * blockBytes + sampleBytes)) / 2;
  });
}

function bad(found: string): DeviceError {
  return new DeviceError("bad-wav", `this is not a WAV file that can be played: ${found}`);
}

/** 16 bit, mono; whole in memory. */
export function encodeWav(samples: Int16Array, rateHz: number): Buffer {
  return Buffer.concat([header(samples.length * 2, rateHz), littleEndian(samples)]);
}

function header(dataBytes: number, rateHz: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write("RIFF", 0, "latin1");
  bytes.writeUInt32LE(HEADER_BYTES - 8 + dataBytes, 4);
  bytes.write("WAVEfmt ", 8, "latin1");
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(PCM, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rateHz, 24);
  bytes.writeUInt32LE(rateHz * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36, "latin1");
  bytes.writeUInt32LE(dataBytes, 40);
  return bytes;
}

function littleEndian(samples: Int16Array): Buffer {
  const bytes = Buffer.allocUnsafe(samples.length * 2);
  samples.forEach((sample, at) => {
    bytes.writeInt16LE(sample, 2 * at);
  });
  return bytes;
}

/**
 * A recording that grows on disk a second at a time, behind the voice; its header is right after every piece, so a
 * power cut costs a second and not the file.
 */
export class WavRecording {
  readonly #file: FileHandle;
  readonly #rateHz: number;
  readonly #onError: (error: DeviceError) => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #writtenBytes = 0;
  #writing: Promise<void> | undefined;
  #failed = false;

  private constructor(file: FileHandle, rateHz: number, onError: (error: DeviceError) => void) {
    this.#file = file;
    this.#rateHz = rateHz;
    this.#onError = onError;
  }

  /**
   * Overwrites what is there; only the owner may read a conversation.
   *
   * @param onError told once; the recording takes nothing more from then on
   * @throws {DeviceError} `record-failed`
   */
  static async create(path: string, rateHz: number, onError: (error: DeviceError) => void): Promise<WavRecording> {
    let file: FileHandle;
    try {
      file = await open(path, "w", 0o600);
    } catch (cause) {
      throw new DeviceError("record-failed", "the recording cannot be begun: is the folder there and writable?", {
        cause,
      });
    }
    const recording = new WavRecording(file, rateHz, onError);
    await recording.#write();
    return recording;
  }

  /** Returns at once; the samples stay the caller's. */
  append(samples: Int16Array): void {
    if (this.#failed) return;
    const bytes = littleEndian(samples);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > 30 * this.#secondBytes) this.#fail(new Error("the disk is 30 s behind"));
    else if (this.#pendingBytes >= this.#secondBytes) this.#writing ??= this.#write();
  }

  /** Resolves when all is on disk and the header says so. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#write();
    await this.#file.close();
  }

  get #secondBytes(): number {
    return this.#rateHz * 2;
  }

  async #write(): Promise<void> {
    try {
      if (this.#failed) return;
      const piece = Buffer.concat(this.#pending);
      this.#pending = [];
      this.#pendingBytes = 0;
      await this.#writeAt(piece, HEADER_BYTES + this.#writtenBytes);
      this.#writtenBytes += piece.length;
      await this.#writeAt(header(this.#writtenBytes, this.#rateHz), 0);
    } catch (cause) {
      this.#fail(cause);
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeAt(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  #fail(cause: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#pending = [];
    this.#onError(new DeviceError("record-failed", "the recording stopped: is the disk full?", { cause }));
  }
}

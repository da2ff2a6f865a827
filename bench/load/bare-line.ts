/**
 * The line of the bench `call`'s barest peer, for both its ends: frames sealed and padded as the product does it, by
 * node:crypto alone.
 *
 *     hello    key(32) | iv(12) of both directions, the handset's first | SPKI, in clear; answered by u8 number of the line
 *     frame    u32 length | u64 counter | ciphertext | tag(16)        clear: message | zeros to a multiple of 256
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { PeerHandset, type PeerLine, type StepBytes } from "./peer-steps.ts";

export const KEY_BYTES = 44;
const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + 8;
const TAG_BYTES = 16;
const PAD_BYTES = 256;

/** key | iv, with the key as Node takes it soonest. */
interface DirectionKey {
  key: KeyObject;
  iv: Buffer;
}

/** A key and a counter for each direction. */
export class BareLine implements PeerLine {
  readonly #socket: Socket;
  readonly #seal: DirectionKey;
  readonly #open: DirectionKey;
  #sealed = 0;
  #opened = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, keys: { seal: Buffer; open: Buffer }) {
    this.#socket = socket;
    this.#seal = directionKey(keys.seal);
    this.#open = directionKey(keys.open);
  }

  send(clear: Buffer): void {
    const padded = Buffer.alloc(Math.ceil((LENGTH_BYTES + clear.length) / PAD_BYTES) * PAD_BYTES);
    clear.copy(padded);
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(HEAD_BYTES - LENGTH_BYTES + padded.length + TAG_BYTES);
    head.writeBigUInt64BE(BigInt(this.#sealed), LENGTH_BYTES);
    const { key, iv } = this.#seal;
    const cipher = createCipheriv("aes-256-gcm", key, nonceOf(iv, this.#sealed++), { authTagLength: TAG_BYTES });
    cipher.setAAD(head);
    const ciphertext = cipher.update(padded);
    cipher.final();
    this.#socket.write(Buffer.concat([head, ciphertext, cipher.getAuthTag()]));
  }

  /** Clear texts of the frames that are whole now. */
  *read(chunk: Buffer): Generator<Buffer> {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + bytes.readUInt32BE();
      if (bytes.length < end) break;
      yield this.#unseal(bytes.subarray(0, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #unseal(frame: Buffer): Buffer {
    const head = frame.subarray(0, HEAD_BYTES);
    if (head.readBigUInt64BE(LENGTH_BYTES) !== BigInt(this.#opened)) throw new Error("a counter out of order");
    const { key, iv } = this.#open;
    const decipher = createDecipheriv("aes-256-gcm", key, nonceOf(iv, this.#opened++), { authTagLength: TAG_BYTES });
    decipher.setAAD(head);
    decipher.setAuthTag(frame.subarray(-TAG_BYTES));
    const clear = decipher.update(frame.subarray(HEAD_BYTES, -TAG_BYTES));
    decipher.final();
    return clear;
  }
}

/** A handset of `bare-broker.ts`. */
export async function connectBare(port: number, spki: Buffer, stepBytes: StepBytes): Promise<PeerHandset> {
  const [seal, open] = [randomBytes(KEY_BYTES), randomBytes(KEY_BYTES)];
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  socket.write(Buffer.concat([seal, open, spki]));
  const [number] = (await once(socket, "data")) as [Buffer];
  const line = new BareLine(socket, { seal, open });
  const handset = new PeerHandset(stepBytes, line, number[0]!);
  socket.on("data", (chunk: Buffer) => {
    for (const clear of line.read(chunk)) handset.take(clear);
  });
  return handset;
}

function directionKey(bytes: Buffer): DirectionKey {
  return { key: createSecretKey(bytes.subarray(0, 32)), iv: Buffer.from(bytes.subarray(32)) };
}

function nonceOf(iv: Buffer, counter: number): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ counter) >>> 0, 8);
  return nonce;
}

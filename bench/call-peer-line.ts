/**
 * The line of the bench `call`'s peer, for both its ends: frames sealed as the product seals them, and nothing in them
 * but where they go.
 *
 *     hello    key(32) | iv(12) of both directions, the caller's first | SPKI, in clear; answered by u8 number of the line
 *     frame    u32 length | u64 counter | ciphertext | tag(16)
 *     clear    u8 step | u8 line it goes to | .. | WRAP(512) in `trying` and `offered`; as long as in the real call
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Socket } from "node:net";

/** In the order of a call; an `invite` is answered by `trying` and passed on as `offered`. */
export const STEPS = ["invite", "trying", "offered", "ringing", "answer", "ack", "bye", "gone"] as const;
export type Step = (typeof STEPS)[number];
/** Bytes of the padded clear text of each step. */
export type StepBytes = Record<Step, number>;

export const KEY_BYTES = 44;
export const WRAP_BYTES = 512;
/** As long as the product's label. */
export const WRAP_LABEL = Buffer.alloc(47, 1);

const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + 8;
const TAG_BYTES = 16;

/** A key and a counter for each direction. */
export class PeerLine {
  readonly #socket: Socket;
  readonly #keys: { seal: Buffer; open: Buffer };
  #sealed = 0;
  #opened = 0;
  #rest = Buffer.alloc(0);

  constructor(socket: Socket, keys: { seal: Buffer; open: Buffer }) {
    this.#socket = socket;
    this.#keys = keys;
  }

  send(clear: Buffer): void {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(HEAD_BYTES - LENGTH_BYTES + clear.length + TAG_BYTES);
    head.writeBigUInt64BE(BigInt(this.#sealed), LENGTH_BYTES);
    const { seal } = this.#keys;
    const nonce = nonceOf(seal, this.#sealed++);
    const cipher = createCipheriv("aes-256-gcm", seal.subarray(0, 32), nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(head);
    const ciphertext = cipher.update(clear);
    cipher.final();
    this.#socket.write(Buffer.concat([head, ciphertext, cipher.getAuthTag()]));
  }

  /** Clear texts of the frames that are whole now. */
  *read(chunk: Buffer): Generator<Buffer> {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + bytes.readUInt32BE();
      if (bytes.length < end) break;
      yield this.#open(bytes.subarray(0, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #open(frame: Buffer): Buffer {
    const head = frame.subarray(0, HEAD_BYTES);
    if (head.readBigUInt64BE(LENGTH_BYTES) !== BigInt(this.#opened)) throw new Error("peer: a counter out of order");
    const { open } = this.#keys;
    const nonce = nonceOf(open, this.#opened++);
    const decipher = createDecipheriv("aes-256-gcm", open.subarray(0, 32), nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(head);
    decipher.setAuthTag(frame.subarray(-TAG_BYTES));
    const clear = decipher.update(frame.subarray(HEAD_BYTES, -TAG_BYTES));
    decipher.final();
    return clear;
  }
}

function nonceOf(key: Buffer, counter: number): Buffer {
  const nonce = Buffer.from(key.subarray(32));
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ counter) >>> 0, 8);
  return nonce;
}

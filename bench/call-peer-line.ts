/**
 * The line of the bench `call`'s peer, for both its ends: frames sealed as the product seals them, and nothing in them
 * but where they go.
 *
 *     hello    key(32) | iv(12) of both directions, the caller's first | SPKI, in clear; answered by u8 number of the line
 *     frame    u32 length | u64 counter | ciphertext | tag(16)
 *     clear    u8 step | u8 line it goes to | zeros, behind an INVITE WRAP(512); as long as in the real call
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import type { Socket } from "node:net";

/** In the order of a call; all are passed on but `trying`, the server's own answer to an `invite`. */
export const STEPS = ["invite", "trying", "ringing", "answer", "ack", "bye", "gone"] as const;
export type Step = (typeof STEPS)[number];
/** Bytes of the padded clear text of each step, on its way to the server and from it. */
export type StepBytes = Record<Step, { in: number; out: number }>;

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
  readonly #seal: { key: KeyObject; iv: Buffer };
  readonly #open: { key: KeyObject; iv: Buffer };
  #sealed = 0;
  #opened = 0;
  #rest: Buffer = Buffer.alloc(0);

  /** @param keys key(32) | iv(12) of each direction; kept as Node takes them soonest */
  constructor(socket: Socket, keys: { seal: Buffer; open: Buffer }) {
    this.#socket = socket;
    this.#seal = { key: createSecretKey(keys.seal.subarray(0, 32)), iv: Buffer.from(keys.seal.subarray(32)) };
    this.#open = { key: createSecretKey(keys.open.subarray(0, 32)), iv: Buffer.from(keys.open.subarray(32)) };
  }

  send(clear: Buffer): void {
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(HEAD_BYTES - LENGTH_BYTES + clear.length + TAG_BYTES);
    head.writeBigUInt64BE(BigInt(this.#sealed), LENGTH_BYTES);
    const { key, iv } = this.#seal;
    const nonce = nonceOf(iv, this.#sealed++);
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(head);
    const ciphertext = cipher.update(clear);
    cipher.final();
    this.#socket.write(Buffer.concat([head, ciphertext, cipher.getAuthTag()]));
  }

  /** Clear texts of the frames that are whole now. */
  *read(chunk: Buffer): Generator<Buffer> {
    let bytes: Buffer = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
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
    if (head.readBigUInt64BE(LENGTH_BYTES) !== BigInt(this.#opened)) throw new Error("peer: a counter out of order");
    const { key, iv } = this.#open;
    const nonce = nonceOf(iv, this.#opened++);
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(head);
    decipher.setAuthTag(frame.subarray(-TAG_BYTES));
    const clear = decipher.update(frame.subarray(HEAD_BYTES, -TAG_BYTES));
    decipher.final();
    return clear;
  }
}

function nonceOf(iv: Buffer, counter: number): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ counter) >>> 0, 8);
  return nonce;
}

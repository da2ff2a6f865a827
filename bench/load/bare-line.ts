/**
 * The line of the bench `call`'s peer, for both its ends: frames sealed as the product seals them, and nothing in them
 * but where they go.
 *
 *     hello    key(32) | iv(12) of both directions, the handset's first | SPKI, in clear; answered by u8 number of the line
 *     frame    u32 length | u64 counter | ciphertext | tag(16)
 *     clear    u8 step | u8 line it goes to | zeros; in `trying` and behind an INVITE WRAP(512). As long as in a real call
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import type { Socket } from "node:net";

/** In the order of a call; all are passed on but `trying`, the broker's own answer to an `invite`. */
export const STEPS = ["invite", "trying", "ringing", "answer", "ack", "bye", "gone"] as const;
export type Step = (typeof STEPS)[number];
/** Bytes of the padded clear text of each step, on its way to the server and from it. */
export type StepBytes = Record<Step, { in: number; out: number }>;

/** Between ringing and answer, here as with the product's handsets. */
export const PICK_UP_MS = 5;
export const KEY_BYTES = 44;
export const WRAP_BYTES = 512;

const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + 8;
const TAG_BYTES = 16;

/** key | iv, with the key as Node takes it soonest. */
interface DirectionKey {
  key: KeyObject;
  iv: Buffer;
}

/** A key and a counter for each direction. */
export class BareLine {
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
    const head = Buffer.allocUnsafe(HEAD_BYTES);
    head.writeUInt32BE(HEAD_BYTES - LENGTH_BYTES + clear.length + TAG_BYTES);
    head.writeBigUInt64BE(BigInt(this.#sealed), LENGTH_BYTES);
    const { key, iv } = this.#seal;
    const cipher = createCipheriv("aes-256-gcm", key, nonceOf(iv, this.#sealed++), { authTagLength: TAG_BYTES });
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

function directionKey(bytes: Buffer): DirectionKey {
  return { key: createSecretKey(bytes.subarray(0, 32)), iv: Buffer.from(bytes.subarray(32)) };
}

function nonceOf(iv: Buffer, counter: number): Buffer {
  const nonce = Buffer.from(iv);
  nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ counter) >>> 0, 8);
  return nonce;
}

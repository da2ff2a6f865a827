/**
 * The channel after its handshake: every frame body is a counter, a sealed and padded SIP message, and a tag
 * (wire.md 1, CHANNEL: frame, clear, step 5; design 3).
 *
 *     frame body   0         8                        8 + 256 k     24 + 256 k
 *                  +---------+------------------------+-------------+      c: u64, 0, 1, 2 .. per direction and key
 *                  | c       | ciphertext             | tag (16)    |      AAD: u32 bytes of frame body | c
 *                  +---------+------------------------+-------------+
 *     clear        0    4            4 + n    256 k
 *                  +----+------------+--------+
 *                  | n  | SIP (n)    | zeros  |      n: u32; the least zeros that reach a multiple of 256, all checked
 *                  +----+------------+--------+
 *
 *     handshake --ch--> "connect" keys --join(): j--> "joined" keys, one direction at a time --keepResume()--> ticket
 *
 * What throws what: `open` ProtocolError `bad-counter`, `bad-tag`, `malformed` (the line is to be closed, its
 * secrets wiped by the caller; a frame that did not open moved nothing); `sealFrame` `frame-too-long`; every method
 * `closed` after `wipe()` or `keepResume()`; `join`, `switchSeal`, `switchOpen`, `relayKey` in a wrong place
 * `out-of-order`.
 */
import { putU32, putU64, readU64 } from "../bytes.ts";
import { StreamCounter } from "../counters.ts";
import { kdf, labelled, transcript } from "../crypto/transcript.ts";
import { ProtocolError, VaultError } from "../errors.ts";
import { takeFrame } from "../frame-memory.ts";
import { HEADER_BYTES, MAX_BODY_BYTES } from "../frames.ts";
import type { Uid } from "../identity.ts";
import type { Slot, Vault } from "../vault.ts";
import { ResumeTicket } from "./ticket.ts";

/** Which half of the channel this end is; "c2s" is what the client seals. */
export type Side = "client" | "server";

export const PAD_BYTES = 256;
export const FRAMES_PER_KEY = 1024;
export const RELAY_ID_BYTES = 8;
const COUNTER_BYTES = 8;
const LENGTH_BYTES = 4;
const TAG_BYTES = 16;
const OVERHEAD_BYTES = COUNTER_BYTES + TAG_BYTES;
const SECRET_BYTES = 32;
const STREAM_KEY_BYTES = 44;

/** In a frame, its header included: where what is sealed begins. */
const CLEAR_AT = HEADER_BYTES + COUNTER_BYTES;

/** Of the frame that is sealed or opened now. */
const AAD = Buffer.alloc(CLEAR_AT);

/** The longest SIP message whose frame body stays within 10 MiB. */
export const MAX_CLEAR_BYTES = Math.floor((MAX_BODY_BYTES - OVERHEAD_BYTES) / PAD_BYTES) * PAD_BYTES - LENGTH_BYTES;

/** What a handshake leaves behind: who, under which transcript, and the secret that both ends now share. */
export interface Handshaken {
  vault: Vault;
  side: Side;
  /** Proven uid of the other end. */
  peer: Uid;
  /** T("channel", ..), after a resume T("resumed", ..): over every byte that was said, those before by their own T. */
  th: Buffer;
  /** ch of M1..M4 or j of a resume. The channel takes it over. */
  secret: Slot<"derive">;
}

/** One end of a channel: seals what this side sends, opens what the other sends, and knows what to keep and to wipe. */
export class SealedChannel {
  readonly side: Side;
  readonly peer: Uid;
  /** Names this channel and no other: T over every byte of its handshake. */
  readonly th: Buffer;
  readonly #vault: Vault;
  /** Every living slot that this channel has made or taken over. */
  readonly #slots = new Set<Slot>();
  #place: "connected" | "joined" | "closed";
  /** ch until `join`, j from then on. */
  #secret: Slot<"derive">;
  #seal: Direction<"stream-seal">;
  #open: Direction<"stream-open">;
  /** "joined" keys that wait for their first frame. */
  #nextSeal: Direction<"stream-seal"> | undefined;
  #nextOpen: Direction<"stream-open"> | undefined;
  #ticket: ResumeTicket | undefined;

  private constructor({ vault, side, peer, th, secret }: Handshaken, keys: "connect" | "joined") {
    this.#vault = vault;
    this.side = side;
    this.peer = peer;
    this.th = th;
    this.#secret = secret;
    this.#slots.add(secret);
    this.#place = keys === "connect" ? "connected" : "joined";
    try {
      [this.#seal, this.#open] = this.#pair(keys);
      if (keys === "joined") this.#ticket = new ResumeTicket(vault, peer, th, secret);
    } catch (error) {
      this.wipe();
      throw error;
    }
  }

  /** After M4: both directions under PAIR("connect", th; ch). */
  static connected(handshaken: Handshaken): SealedChannel {
    return new SealedChannel(handshaken, "connect");
  }

  /** After R2: both directions under PAIR("joined", th; j), a fresh ticket at hand. */
  static resumed(handshaken: Handshaken): SealedChannel {
    return new SealedChannel(handshaken, "joined");
  }

  get closed(): boolean {
    return this.#place === "closed";
  }

  /** From step 5 on: a handset may ask to resume before this end knows that the line is lost. Stays the channel's. */
  get ticket(): ResumeTicket | undefined {
    return this.#ticket;
  }

  /**
   * @param clearBytes of the SIP message. @param write puts it into its place, where it is sealed
   * @returns the whole frame, its header too: no byte of it is copied. @throws {ProtocolError}
   *   `frame-too-long` above `MAX_CLEAR_BYTES`, `closed`
   */
  sealFrame(clearBytes: number, write: (place: Buffer) => void): Buffer {
    this.#maySeal(clearBytes);
    const { slot, next } = this.#seal;
    const paddedEnd = CLEAR_AT + paddedBytes(clearBytes);
    const frame = takeFrame(paddedEnd + TAG_BYTES);
    putAad(frame, frame.length - HEADER_BYTES, next);
    putAad(AAD, frame.length - HEADER_BYTES, next);
    putU32(frame, clearBytes, CLEAR_AT);
    const textAt = CLEAR_AT + LENGTH_BYTES;
    write(frame.subarray(textAt, textAt + clearBytes));
    frame.fill(0, textAt + clearBytes, paddedEnd);
    this.#vault.sealInPlace(slot, next, AAD, frame.subarray(CLEAR_AT));
    this.#seal.advance();
    return frame;
  }

  /**
   * @param body a whole frame body; it is opened where it stands and belongs to the channel from now on
   * @returns the SIP message
   * @throws {ProtocolError} `malformed` (sizes, padding), `bad-counter`, `bad-tag`, `closed`
   */
  open(body: Buffer): Buffer {
    this.#mustBeOpen();
    const paddedLength = body.length - OVERHEAD_BYTES;
    if (paddedLength < PAD_BYTES || paddedLength % PAD_BYTES !== 0) {
      throw new ProtocolError("malformed", `a sealed frame of ${body.length} bytes came, not 24 and a multiple of 256`);
    }
    const counter = readU64(body, 0);
    if (counter !== this.#open.next) {
      throw new ProtocolError("bad-counter", `counter ${counter} came, ${this.#open.next} was expected`);
    }
    putAad(AAD, body.length, counter);
    this.#unseal(counter, body.subarray(COUNTER_BYTES));
    this.#open.advance();
    return clearOf(body);
  }

  /**
   * Step 5: prepares the "joined" keys, j and the resume keys under the server's secret. Frames go on under "connect"
   * until `switchSeal` and `switchOpen`. Takes the secret over: it is wiped here, and ch with it.
   */
  join(serverSecret: Slot<"derive">): void {
    const channelSecret = this.#secret;
    try {
      this.#mustBeOpen();
      if (this.#place !== "connected") throw new ProtocolError("out-of-order", "join: this channel has joined already");
      this.#secret = kdf(this.#vault, "derive", "joined", this.th, SECRET_BYTES, channelSecret, serverSecret);
      this.#slots.add(this.#secret);
      this.#place = "joined";
      this.#drop(channelSecret);
    } finally {
      this.#vault.wipe(serverSecret);
    }
    [this.#nextSeal, this.#nextOpen] = this.#pair("joined");
    this.#ticket = new ResumeTicket(this.#vault, this.peer, this.th, this.#secret);
  }

  /** The next frame is sealed under "joined", counter 0. Server: after secret. Client: before its answer. */
  switchSeal(): void {
    this.#mustBeOpen();
    if (!this.#nextSeal) throw new ProtocolError("out-of-order", "switchSeal: no joined key waits for this direction");
    this.#drop(this.#seal.slot);
    this.#seal = this.#nextSeal;
    this.#nextSeal = undefined;
  }

  /** The next frame is opened under "joined", counter 0. Server: after head's 200. Client: after secret. */
  switchOpen(): void {
    this.#mustBeOpen();
    if (!this.#nextOpen) throw new ProtocolError("out-of-order", "switchOpen: no joined key waits for this direction");
    this.#drop(this.#open.slot);
    this.#open = this.#nextOpen;
    this.#nextOpen = undefined;
  }

  /** bk of wire.md VOICE, for one relay id (8 bytes) handed out on this line. The caller keeps and wipes it. */
  relayKey(relayId: Uint8Array): Slot<"mac"> {
    this.#mustBeOpen();
    if (this.#place !== "joined")
      throw new ProtocolError("out-of-order", "relayKey: before step 5 there is no key for it");
    if (relayId.length !== RELAY_ID_BYTES) throw new RangeError(`a relay id of ${relayId.length} bytes`);
    return kdf(this.#vault, "mac", "relay", transcript("relay", this.th, relayId), SECRET_BYTES, this.#secret);
  }

  /**
   * The line was lost (no fault, no BYE, no shutdown): wipes everything but the ticket.
   *
   * @returns `undefined` when step 5 was not reached or the ticket has served already, so that nothing is there to
   *   resume; all is wiped then too
   */
  keepResume(): ResumeTicket | undefined {
    this.#mustBeOpen();
    const ticket = this.#ticket;
    this.#ticket = undefined;
    this.wipe();
    return ticket?.spent ? undefined : ticket;
  }

  /** Ends the channel with all its secrets, the ticket too. Wiping twice is harmless. */
  wipe(): void {
    this.#place = "closed";
    this.#vault.wipe(...this.#slots);
    this.#slots.clear();
    this.#ticket?.wipe();
    this.#ticket = undefined;
  }

  #drop(slot: Slot): void {
    this.#slots.delete(slot);
    this.#vault.wipe(slot);
  }

  #pair(word: "connect" | "joined"): [Direction<"stream-seal">, Direction<"stream-open">] {
    const [mine, theirs] = this.side === "client" ? ["c2s", "s2c"] : ["s2c", "c2s"];
    return [this.#direction("stream-seal", `${word} ${mine}`), this.#direction("stream-open", `${word} ${theirs}`)];
  }

  #direction<Use extends "stream-seal" | "stream-open">(use: Use, word: string): Direction<Use> {
    const slot = kdf(this.#vault, use, word, this.th, STREAM_KEY_BYTES, this.#secret);
    this.#slots.add(slot);
    return new Direction(this.#vault, slot, this.th);
  }

  #unseal(counter: number, place: Buffer): void {
    try {
      this.#vault.openInPlace(this.#open.slot, counter, AAD, place);
    } catch (cause) {
      if (cause instanceof VaultError && cause.code === "forged") {
        throw new ProtocolError("bad-tag", `frame ${counter} does not open`, { cause });
      }
      throw cause;
    }
  }

  #maySeal(clearBytes: number): void {
    this.#mustBeOpen();
    if (clearBytes <= MAX_CLEAR_BYTES) return;
    throw new ProtocolError("frame-too-long", `${clearBytes} bytes to seal, at most ${MAX_CLEAR_BYTES} are allowed`);
  }

  #mustBeOpen(): void {
    if (this.#place === "closed") throw new ProtocolError("closed", "the channel has ended and its keys are wiped");
  }
}

/** One key, its counter, and its change each 1,024 frames: frame c is under generation c div 1,024. */
class Direction<Use extends "stream-seal" | "stream-open"> {
  readonly slot: Slot<Use>;
  readonly #vault: Vault;
  readonly #th: Buffer;
  readonly #counter = new StreamCounter();

  constructor(vault: Vault, slot: Slot<Use>, th: Buffer) {
    this.#vault = vault;
    this.slot = slot;
    this.#th = th;
  }

  get next(): number {
    return this.#counter.next;
  }

  /** Behind a generation's last frame its key goes at once, not when the next frame comes. */
  advance(): void {
    this.#counter.advance(this.next);
    if (this.next % FRAMES_PER_KEY === 0) this.#vault.rekey(this.slot, this.#th, labelled("rekey", this.#th));
  }
}

function paddedBytes(clearBytes: number): number {
  return Math.ceil((LENGTH_BYTES + clearBytes) / PAD_BYTES) * PAD_BYTES;
}

/** In front of what is sealed: u32 bytes of frame body | u64 counter. */
function putAad(place: Buffer, bodyBytes: number, counter: number): void {
  putU32(place, bodyBytes, 0);
  putU64(place, counter, HEADER_BYTES);
}

/** @param body opened. @returns the SIP message in it */
function clearOf(body: Buffer): Buffer {
  const paddedEnd = body.length - TAG_BYTES;
  const textAt = COUNTER_BYTES + LENGTH_BYTES;
  const clearBytes = body.readUInt32BE(COUNTER_BYTES);
  if (paddedBytes(clearBytes) !== paddedEnd - COUNTER_BYTES) {
    throw new ProtocolError("malformed", `${clearBytes} bytes came padded to another length than theirs`);
  }
  for (let at = textAt + clearBytes; at < paddedEnd; at++) {
    if (body[at] !== 0) throw new ProtocolError("malformed", "padding that is not zero");
  }
  return body.subarray(textAt, textAt + clearBytes);
}

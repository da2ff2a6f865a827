/**
 * A lost line comes back within its grace, without RSA: both ends still hold rm and rk, and fresh Q's make new keys
 * (wire.md 1, resume). R1 and R2 are the SIP bodies; their heads are outside the MAC and nothing in them is trusted.
 *
 *     R1   u8 1 | u8 1 | id(16) | nonce(32) | X25519(32) | ek(1184) | MAC(32)
 *     R2   u8 1 | u8 1 | nonce(32) | X25519(32) | ciphertext(1088) | MAC(32)
 *
 * A ticket serves once: it is wiped at the first valid MAC, whatever comes behind it. All throw ProtocolError:
 *     ResumeClient.receive   `unknown-resume` (481: go on with M1 on a new line), `unauthentic`, `bad-point`,
 *                            `bad-ciphertext`, `malformed`, `bad-sip`, `out-of-order`, `closed` (after wipe)
 *     ResumeServer           `unknown-resume` (ticket spent, or another id), `unauthentic`, `bad-point`,
 *                            `bad-encapsulation-key`, `malformed`, `bad-sip`, `out-of-order`
 * Behind a throw the line is to be closed without a byte; only an id that nobody knows gets `refusal481`.
 */
import { ByteReader, equalBytes, publicBytes } from "../bytes.ts";
import { MAC_BYTES, transcript } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import type { Uid } from "../identity.ts";
import { hex, type SipRequest } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { Vault } from "../vault.ts";
import {
  AgreementOffer,
  answerOffer,
  CIPHERTEXT_BYTES,
  ENCAPSULATION_KEY_BYTES,
  NONCE_BYTES,
  secretOf,
  VERSION_AND_SUITE,
  X25519_BYTES,
} from "./agreement.ts";
import { type ClientHead, clearAnswer, clearRequest, type Random, readAnswer, readRequest } from "./heads.ts";
import { resumeOrder } from "./orders.ts";
import { SealedChannel } from "./sealed.ts";
import { RESUME_ID_BYTES, type ResumeTicket } from "./ticket.ts";

export { ResumeTicket } from "./ticket.ts";

const R1_BYTES =
  VERSION_AND_SUITE.length + RESUME_ID_BYTES + NONCE_BYTES + X25519_BYTES + ENCAPSULATION_KEY_BYTES + MAC_BYTES;

/** The way back for a client that still holds its ticket. */
export class ResumeClient {
  /** The new line's Call-ID, 32 hex. */
  readonly callId: string;
  readonly #vault: Vault;
  readonly #ticket: ResumeTicket;
  readonly #random: Random | undefined;
  readonly #head: ClientHead;
  readonly #supervisor = new Supervisor("resume", resumeOrder, "new");
  #offer: AgreementOffer | undefined;
  #r1: { t1: Buffer; tag: Buffer } | undefined;

  /** @param uid one's own */
  constructor(options: { vault: Vault; ticket: ResumeTicket; uid: Uid; random?: Random }) {
    this.#vault = options.vault;
    this.#ticket = options.ticket;
    this.#random = options.random;
    this.callId = hex(16, this.#random);
    this.#head = { uid: options.uid, callId: this.callId, tag: hex(8, this.#random) };
  }

  /** @returns the frame body that carries R1. @throws {ProtocolError} `unknown-resume` when the ticket has served */
  start(): Buffer {
    if (this.#ticket.spent) throw new ProtocolError("unknown-resume", "the resume ticket has served or was wiped");
    this.#supervisor.admit("c:r1");
    this.#offer = new AgreementOffer(this.#vault);
    const nonce = (this.#random ?? publicBytes)(NONCE_BYTES);
    const before = Buffer.concat([VERSION_AND_SUITE, this.#ticket.id, nonce, this.#offer.bytes]);
    const t1 = transcript("r1", before);
    const tag = this.#ticket.mac("r1", t1);
    this.#r1 = { t1, tag };
    return clearRequest("c:r1", this.#head, Buffer.concat([before, tag]), this.#random);
  }

  /** @param body the server's answer to R1, a whole frame body @returns the channel, under "joined" at once */
  receive(body: Buffer): SealedChannel {
    try {
      const { kind, message } = readAnswer(body, this.#head);
      this.#supervisor.admit(kind);
      if (kind === "s:unknown") throw new ProtocolError("unknown-resume", "the server has nothing left to resume");
      const offer = this.#offer;
      if (!offer) throw new ProtocolError("closed", "the line ended before R2 came");

      const reader = new ByteReader(message.body, "R2");
      reader.expect(VERSION_AND_SUITE);
      reader.take(NONCE_BYTES);
      const x25519 = reader.take(X25519_BYTES);
      const ciphertext = reader.take(CIPHERTEXT_BYTES);
      const before = reader.before;
      const tag = reader.take(MAC_BYTES);
      reader.end();
      const r1 = this.#r1!;
      const t2 = transcript("r2", r1.t1, r1.tag, before);
      if (!this.#ticket.macHolds("r2", t2, tag)) {
        throw new ProtocolError("unauthentic", "R2 does not carry the server's MAC");
      }
      try {
        const th = transcript("resumed", t2, tag);
        const secrets = offer.accept(x25519, ciphertext);
        const secret = secretOf(this.#vault, "resumed", th, secrets, this.#ticket.resumeKey);
        return SealedChannel.resumed({ vault: this.#vault, side: "client", peer: this.#ticket.peer, th, secret });
      } finally {
        this.#ticket.wipe();
      }
    } finally {
      this.wipe();
    }
  }

  /** The line has ended: forgets what R1 had offered. The ticket stays what it is. */
  wipe(): void {
    this.#offer?.wipe();
    this.#offer = undefined;
  }
}

/** The way back as the server sees it; the caller finds the ticket by `idOf`. */
export class ResumeServer {
  readonly #vault: Vault;
  readonly #random: Random | undefined;
  readonly #supervisor = new Supervisor("resume", resumeOrder, "new");

  constructor(options: { vault: Vault; random?: Random }) {
    this.#vault = options.vault;
    this.#random = options.random;
  }

  /**
   * Which ticket a client asks for, unproven and unread: R1 is the end of its frame. Whatever else stands in the frame
   * is `accept`'s to judge, or `refusal481`'s.
   *
   * @returns 16 bytes; fewer of a frame that is too short for R1
   */
  static idOf(body: Buffer): Buffer {
    const r1 = body.subarray(Math.max(body.length - R1_BYTES, 0));
    return r1.subarray(VERSION_AND_SUITE.length, VERSION_AND_SUITE.length + RESUME_ID_BYTES);
  }

  /**
   * @param body the frame body that carries R1
   * @returns the frame body that carries R2; the channel, under "joined" at once; the new line's Call-ID
   */
  accept(body: Buffer, ticket: ResumeTicket): { r2: Buffer; channel: SealedChannel; callId: string } {
    const request = this.#admit(body);
    const { id, x25519, encapsulationKey, before, tag } = readR1(request.body);
    if (!equalBytes(id, ticket.id)) throw new ProtocolError("unknown-resume", "R1 asks for another ticket");
    if (request.from.party !== ticket.peer) {
      throw new ProtocolError("bad-sip", "R1 comes from another uid than that of the lost line");
    }
    const t1 = transcript("r1", before);
    if (!ticket.macHolds("r1", t1, tag)) {
      throw new ProtocolError("unauthentic", "R1 does not carry the client's MAC");
    }
    try {
      const { bytes, secrets } = answerOffer(this.#vault, x25519, encapsulationKey);
      const nonce = (this.#random ?? publicBytes)(NONCE_BYTES);
      const r2Before = Buffer.concat([VERSION_AND_SUITE, nonce, bytes]);
      const t2 = transcript("r2", t1, tag, r2Before);
      const r2Tag = ticket.mac("r2", t2);
      const r2 = Buffer.concat([r2Before, r2Tag]);
      const answer = clearAnswer(request, 200, r2, { random: this.#random });
      this.#supervisor.admit("s:r2");
      const th = transcript("resumed", t2, r2Tag);
      const secret = secretOf(this.#vault, "resumed", th, secrets, ticket.resumeKey);
      const channel = SealedChannel.resumed({ vault: this.#vault, side: "server", peer: ticket.peer, th, secret });
      return { r2: answer, channel, callId: request.callId };
    } finally {
      ticket.wipe();
    }
  }

  /** 481 to an id that nobody knows. @returns a whole frame body in clear; then the line is closed */
  refusal481(body: Buffer): Buffer {
    const request = this.#admit(body);
    readR1(request.body);
    this.#supervisor.admit("s:unknown");
    return clearAnswer(request, 481, Buffer.alloc(0), { random: this.#random });
  }

  #admit(body: Buffer): SipRequest {
    const { kind, message } = readRequest(body);
    this.#supervisor.admit(kind);
    return message;
  }
}

function readR1(r1: Buffer) {
  const reader = new ByteReader(r1, "R1");
  reader.expect(VERSION_AND_SUITE);
  const id = reader.take(RESUME_ID_BYTES);
  reader.take(NONCE_BYTES);
  const x25519 = reader.take(X25519_BYTES);
  const encapsulationKey = reader.take(ENCAPSULATION_KEY_BYTES);
  const before = reader.before;
  const tag = reader.take(MAC_BYTES);
  reader.end();
  return { id, x25519, encapsulationKey, before, tag };
}

/**
 * The called half (wire.md 1 and 3, CALL). It signs its 200 before it sees what the caller committed to, and opens the
 * server's secret only when a person accepts, so a ring costs no private operation.
 */
import { randomBytes } from "node:crypto";
import { concat, equalBytes } from "../bytes.ts";
import { sign, signatureHolds, transcript, unwrap } from "../crypto/transcript.ts";
import { headHash } from "../directory/tree-head.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import type { SipRequest } from "../sip.ts";
import type { Ephemeral, Slot } from "../vault.ts";
import { ACK_MS, Call, type CallLine, type CallSurroundings } from "./call.ts";
import {
  type Answer,
  answerBefore,
  callSas,
  commitment,
  decodeAnswer,
  decodeConfirmation,
  encodeParts,
  expectCallId,
  type Hop,
  type Invite,
  NONCE_BYTES,
  wrapTranscript,
} from "./call-bytes.ts";
import { callMacHolds, deriveCallKeys, wipeCallKeys } from "./call-keys.ts";
import type { CallEnd } from "./events.ts";

export class CalleeCall extends Call {
  readonly #request: SipRequest;
  readonly #invite: Invite;
  readonly #hop: Hop;
  #accepting = false;
  #x25519: Ephemeral<"x25519"> | undefined;
  #kem: Ephemeral<"ml-kem-768"> | undefined;
  #brokered: Slot<"derive"> | undefined;
  #answer: Answer | undefined;

  constructor(
    around: CallSurroundings,
    line: CallLine,
    request: SipRequest,
    invite: Invite,
    hop: Hop,
    peer: { uid: Uid; key: PublicKey },
  ) {
    super(around, line, "B", invite.callId, peer);
    this.#request = request;
    this.#invite = invite;
    this.#hop = hop;
  }

  protected override get peerSign(): "a" {
    return "a";
  }

  /** Checks who calls and which directory they hold; only then it rings. */
  async ring(): Promise<void> {
    this.supervisor.admit("a:invite");
    try {
      const invite = this.#invite;
      if (invite.callee !== this.around.own)
        throw new ProtocolError("unauthentic", "the INVITE is for another handset");
      if (!signatureHolds(this.peer.key, "invite", transcript("invite", invite.before), invite.signature)) {
        throw new ProtocolError("unauthentic", "the INVITE does not carry the caller's signature");
      }
      await this.judgeHead(invite.head, invite.headSignature);
      if (this.over || this.place !== "trying" || !this.line) return;
      this.keepHop(this.#hop);
      this.supervisor.admit("b:ringing");
      this.line.answer(this.#request, 180);
      this.around.tell({ event: "incoming", callId: this.id, peer: this.peer.uid });
    } catch (error) {
      this.fault(error);
    }
  }

  /** A person accepts. */
  async accept(): Promise<void> {
    if (this.place !== "ringing" || this.#accepting) return;
    this.#accepting = true;
    try {
      await this.#accept();
    } catch (error) {
      this.fault(error);
    }
  }

  async #accept(): Promise<void> {
    const { vault, keyPair, own, follower, now } = this.around;
    const head = follower.head;
    if (!head) throw new ProtocolError("not-connected", "a call needs a phonebook");
    const t = wrapTranscript(this.callId, this.peer.uid, own, own);
    const brokered = await unwrap(vault, keyPair, "call", t, this.#hop.wrapped);
    if (this.over || this.place !== "ringing") return vault.wipe(brokered);
    this.#brokered = brokered;
    this.#x25519 = vault.makeEphemeral("x25519");
    this.#kem = vault.makeEphemeral("ml-kem-768");
    const before = answerBefore({
      callId: this.callId,
      x25519: this.#x25519.publicKey,
      encapsulationKey: this.#kem.publicKey,
      nonce: randomBytes(NONCE_BYTES),
      head: head.bytes,
      headSignature: head.signature,
    });
    const signature = await sign(vault, keyPair, "answer", transcript("answer", this.#invite.bytes, before));
    if (this.over || this.place !== "ringing" || !this.line) return;
    this.#answer = decodeAnswer(concat(before, signature));
    this.supervisor.admit("b:answer");
    this.deadline = { atMs: now() + ACK_MS, passed: () => this.bye("unavailable") };
    this.line.answer(this.#request, 200, { body: encodeParts(this.#answer.bytes) });
  }

  override hangUp(): void {
    if (this.over) return;
    switch (this.place) {
      case "called":
      case "trying":
      case "ringing":
        return this.refuse("declined-here");
      case "answered":
      case "talking":
        return this.bye("hung-up-here");
      default:
        return; // a farewell is on its way already
    }
  }

  protected override take(request: SipRequest, endToEnd: Buffer): void {
    if (request.method === "ACK") return this.#confirmed(endToEnd);
    if (request.method === "CANCEL") return this.#cancelled(request);
    return super.take(request, endToEnd);
  }

  #cancelled(request: SipRequest): void {
    this.supervisor.admit("a:cancel");
    this.line?.answer(request, 200);
    if (this.place === "b-leaving") return; // it crossed my BYE
    if (this.place === "ended") return this.end("hung-up-there");
    this.supervisor.admit("refused");
    this.line?.answer(this.#request, 487);
    this.end("missed");
  }

  /** The ACK opens the commitment and proves every key; the microphone opens after this, not before. */
  #confirmed(endToEnd: Buffer): void {
    const { vault, own } = this.around;
    this.supervisor.admit("a:ack");
    if (this.place === "b-leaving") return; // it crossed my BYE
    this.deadline = undefined;
    const answer = this.#answer;
    const invite = this.#invite;
    const confirmation = decodeConfirmation(endToEnd);
    expectCallId(confirmation.callId, this.callId);
    if (!answer || !this.#x25519 || !this.#kem || !this.#brokered) {
      throw new ProtocolError("out-of-order", "call: an ACK came before the 200");
    }
    const callerHeadHash = headHash(invite.head);
    const { x25519: callerX25519, nonce: callerNonce } = confirmation;
    const commit = commitment(this.callId, this.peer.uid, own, callerHeadHash, callerX25519, callerNonce);
    if (!equalBytes(commit, invite.commit)) {
      throw new ProtocolError("unauthentic", "the ACK opens another commitment than the INVITE's");
    }
    const th = transcript("call", invite.bytes, answer.bytes, confirmation.before);
    if (!signatureHolds(this.peer.key, "ack", th, confirmation.signature)) {
      throw new ProtocolError("unauthentic", "the ACK does not carry the caller's signature");
    }
    const x25519 = vault.agree(this.#x25519, callerX25519);
    const kem = vault.decapsulate(this.#kem, confirmation.ciphertext);
    const keys = deriveCallKeys(vault, "B", th, kem, x25519, this.#brokered);
    this.#brokered = undefined;
    if (!callMacHolds(vault, keys, "ack", "A", confirmation.mac)) {
      wipeCallKeys(vault, keys);
      throw new ProtocolError("unauthentic", "the ACK's MAC does not hold: the keys differ");
    }
    this.keys = keys;
    this.agreed(keys, callSas(invite, answer, callerX25519, callerNonce));
  }

  /** Before the 200: a refusal of the INVITE; after it: BYE with the call_id alone. */
  protected override refuse(why: CallEnd): void {
    const line = this.line;
    if (this.place === "trying" || this.place === "ringing" || this.place === "called") {
      if (this.place !== "called") this.supervisor.admit("refused");
      line?.answer(this.#request, 603);
    } else if (this.place === "answered" || this.place === "talking") {
      this.byeWithoutKeys();
    }
    this.end(why);
  }

  protected override wipeSetUp(): void {
    this.around.vault.wipe(this.#x25519, this.#kem, this.#brokered);
  }
}

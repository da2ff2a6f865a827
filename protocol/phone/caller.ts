/**
 * The calling half (wire.md 1 and 3, CALL):
 *
 *     A -> S  INVITE  I = .. commit, SIGN_A        S -> A  100  S_ab wrapped for A, relay id
 *     B -> A  180     it rings there               B -> A  200  R = XB, ek, n_B, head, SIGN_B
 *     A -> B  ACK     K = XA, n_A, ct, SIGN_A, MAC: what the commitment hid, and the proof of all keys
 */
import { randomBytes } from "node:crypto";
import { concat } from "../bytes.ts";
import { sign, signatureHolds, transcript, unwrap } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import type { SipRequest, SipResponse } from "../sip.ts";
import type { Ephemeral, Slot } from "../vault.ts";
import { Call, type CallLine, type CallSurroundings, FAREWELL_MS } from "./call.ts";
import {
  CALL_ID_BYTES,
  callSas,
  commitment,
  confirmationBefore,
  decodeAnswer,
  decodeHop,
  decodeInvite,
  decodeParts,
  encodeParts,
  expectCallId,
  type Invite,
  inviteBefore,
  NONCE_BYTES,
  wrapTranscript,
} from "./call-bytes.ts";
import { callMac, deriveCallKeys } from "./call-keys.ts";
import type { CallEnd } from "./events.ts";

const ENDS: Readonly<Record<number, CallEnd>> = {
  404: "unknown",
  408: "silent",
  480: "offline",
  482: "self",
  486: "busy",
  487: "cancelled",
  503: "unavailable",
  603: "declined",
};

export class CallerCall extends Call {
  #x25519: Ephemeral<"x25519"> | undefined;
  readonly #nonce = randomBytes(NONCE_BYTES);
  #invite: Invite | undefined;
  #request: SipRequest | undefined;
  /** S_ab, opened while it rings. */
  #brokered: Promise<Slot<"derive">> | undefined;

  constructor(around: CallSurroundings, line: CallLine, peer: { uid: Uid; key: PublicKey }) {
    super(around, line, "A", randomBytes(CALL_ID_BYTES), peer);
  }

  protected override get peerSign(): "b" {
    return "b";
  }

  /** Source: seed 000, call 1: a pick from the phonebook and "call". */
  async dial(): Promise<void> {
    try {
      await this.#dial();
    } catch (error) {
      this.fault(error);
    }
  }

  async #dial(): Promise<void> {
    const { vault, keyPair, own, follower, tell } = this.around;
    const head = follower.head;
    if (!head) throw new ProtocolError("not-connected", "a call needs a phonebook");
    tell({ event: "dialling", callId: this.id, peer: this.peer.uid });
    this.#x25519 = vault.makeEphemeral("x25519");
    const before = inviteBefore({
      callId: this.callId,
      caller: own,
      callee: this.peer.uid,
      head: head.bytes,
      headSignature: head.signature,
      commit: commitment(this.callId, own, this.peer.uid, head.hash, this.#x25519.publicKey, this.#nonce),
    });
    const signature = await sign(vault, keyPair, "invite", transcript("invite", before));
    if (this.over || !this.line) return this.end("line-lost");
    this.#invite = decodeInvite(concat(before, signature));
    this.supervisor.admit("a:invite");
    this.#request = this.line.request(
      "INVITE",
      { uri: this.peer.uid, callId: this.id, body: encodeParts(this.#invite.bytes) },
      (answer) => this.#answered(answer),
    );
  }

  /** No final answer has come yet. */
  get settingUp(): boolean {
    return this.place === "idle" || this.place === "inviting" || this.place === "trying" || this.place === "ringing";
  }

  override hangUp(): void {
    if (this.over) return;
    switch (this.place) {
      case "idle":
        return this.end("cancelled");
      case "inviting":
      case "trying":
      case "ringing":
        return this.#cancel();
      case "answered":
      case "talking":
        return this.bye("hung-up-here");
      default:
        return; // a farewell is on its way already
    }
  }

  #cancel(): void {
    if (!this.line || !this.#request) return this.end("cancelled");
    this.supervisor.admit("a:cancel");
    this.deadline = { atMs: this.around.now() + FAREWELL_MS, passed: () => this.end("cancelled") };
    this.line.follow(this.#request, "CANCEL", Buffer.alloc(0), () => {
      if (!this.over) this.#guard(() => this.supervisor.admit("s:cancelled"));
    });
  }

  #answered(answer: SipResponse): void {
    if (this.over) return;
    const parts = answer.body.length > 0 ? decodeParts(answer.body) : undefined;
    this.#guard(() => {
      if (answer.status === 100) return this.#tried(parts?.hop);
      if (answer.status === 180) return this.#rings();
      if (answer.status === 200) return this.#accepted(parts?.endToEnd);
      this.supervisor.admit("refused");
      return this.end(ENDS[answer.status] ?? "unavailable");
    });
  }

  /** Source: seed 000, call 2.1: the one-time secret for this pair, wrapped for me. */
  #tried(hopBytes: Buffer | undefined): void {
    const { vault, keyPair, own } = this.around;
    this.supervisor.admit("s:trying");
    const hop = decodeHop(hopBytes ?? Buffer.alloc(0));
    this.keepHop(hop);
    const t = wrapTranscript(this.callId, own, this.peer.uid, own);
    this.#brokered = unwrap(vault, keyPair, "call", t, hop.wrapped);
    this.#brokered.catch(() => {}); // judged where it is needed, in #agree
  }

  #rings(): void {
    this.supervisor.admit("b:ringing");
    if (this.place === "ringing") this.around.tell({ event: "rings", callId: this.id, peer: this.peer.uid });
  }

  #accepted(endToEnd: Buffer | undefined): void {
    this.supervisor.admit("b:answer");
    // My CANCEL crossed the 200: no ACK, nothing revealed.
    if (this.place === "late-answer") return this.bye("cancelled");
    this.#agree(endToEnd ?? Buffer.alloc(0)).catch((error: unknown) => this.fault(error));
  }

  /** Source: seed 000, call 2.2 and 2.3. */
  async #agree(endToEnd: Buffer): Promise<void> {
    const { vault, keyPair } = this.around;
    const invite = this.#invite;
    const answer = decodeAnswer(endToEnd);
    expectCallId(answer.callId, this.callId);
    if (!invite) throw new ProtocolError("out-of-order", "call: a 200 came before the INVITE");
    const t = transcript("answer", invite.bytes, answer.before);
    if (!signatureHolds(this.peer.key, "answer", t, answer.signature)) {
      throw new ProtocolError("unauthentic", "the 200 does not carry the callee's signature");
    }
    await this.judgeHead(answer.head, answer.headSignature);
    if (!this.#brokered) throw new ProtocolError("out-of-order", "call: a 200 came before the server's secret");
    const brokered = await this.#brokered;
    if (this.over || this.place !== "answered" || !this.#x25519) return vault.wipe(brokered);
    this.#brokered = undefined;

    const secrets = [brokered];
    try {
      const x25519PublicKey = this.#x25519.publicKey;
      const x25519 = vault.agree(this.#x25519, answer.x25519);
      secrets.push(x25519);
      const kem = vault.encapsulate(answer.encapsulationKey);
      secrets.push(kem.secret);
      const k = confirmationBefore(this.callId, x25519PublicKey, this.#nonce, kem.ciphertext);
      const th = transcript("call", invite.bytes, answer.bytes, k);
      const signature = await sign(vault, keyPair, "ack", th);
      if (this.over || this.place !== "answered" || !this.line || !this.#request) return;
      const keys = deriveCallKeys(vault, "A", th, kem.secret, x25519, brokered);
      this.keys = keys;
      this.supervisor.admit("a:ack");
      this.line.follow(this.#request, "ACK", encodeParts(concat(k, signature, callMac(vault, keys, "ack", "A"))));
      this.agreed(keys, callSas(invite, answer, x25519PublicKey, this.#nonce));
    } finally {
      vault.wipe(...secrets); // a bad point or key in the 200 throws half-way
    }
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.fault(error);
    }
  }

  /** A faulty 200: BYE with the call_id alone, without an ACK. Before a final answer: CANCEL. */
  protected override refuse(why: CallEnd): void {
    const line = this.line;
    const request = this.#request;
    if (line && request) {
      if (this.place === "answered" || this.place === "talking") {
        this.byeWithoutKeys();
      } else if (this.place === "inviting" || this.place === "trying" || this.place === "ringing") {
        line.follow(request, "CANCEL", Buffer.alloc(0), () => {});
      }
    }
    this.end(why);
  }

  protected override wipeSetUp(): void {
    const { vault } = this.around;
    vault.wipe(this.#x25519);
    this.#brokered?.then((slot) => vault.wipe(slot)).catch(() => {});
    this.#brokered = undefined;
  }
}

/**
 * The calls of one handset: at most one at a time, and what is left of those that just ended.
 *
 * Calls outlive lines. Messages of a call ended less than 30 s ago are absorbed and counted, others get 481. An INVITE
 * from the one I am calling waits for my final answer; on 486 it rings normally (design 4, Call).
 */
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import type { Address } from "../media/address.ts";
import type { SipRequest } from "../sip.ts";
import type { Call, CallLine, CallSurroundings } from "./call.ts";
import { decodeHop, decodeInvite, decodeParts, type Hop, type Invite } from "./call-bytes.ts";
import { CalleeCall } from "./callee.ts";
import { CallerCall } from "./caller.ts";
import type { CallEnd } from "./events.ts";
import type { AnswerListener } from "./transactions.ts";

/** How long a finished call's messages are still expected on the wire. */
export const ABSORB_MS = 30_000;

interface Incoming {
  request: SipRequest;
  invite: Invite;
  hop: Hop;
  peer: { uid: Uid; key: PublicKey };
}

export class HandsetCalls {
  readonly #around: CallSurroundings;
  #line: CallLine | undefined;
  #call: Call | undefined;
  #held: Incoming | undefined;
  /** Ended calls by Call-ID, with the time until which their messages are absorbed. */
  readonly #ended = new Map<string, number>();
  /** BYEs that nobody has answered: they are said again after a resume, so that the other side hears of the end. */
  readonly #goodbyes = new Map<string, { peer: Uid; body: Buffer }>();
  absorbed = 0;
  /** INFOs that did not open, or came again. */
  infosDropped = 0;

  /** BYEs, or their 200, whose MAC did not hold. */
  farewellsUnproven = 0;

  constructor(around: Omit<CallSurroundings, "over" | "sayGoodbye" | "infoDropped" | "farewellUnproven">) {
    this.#around = {
      ...around,
      infoDropped: () => {
        this.infosDropped++;
      },
      farewellUnproven: () => {
        this.farewellsUnproven++;
      },
      sayGoodbye: ({ id, peer }, body, answered) => this.#sayGoodbye(id, peer.uid, body, answered),
      over: (call, why) => this.#over(call, why),
    };
  }

  get current(): Call | undefined {
    return this.#call;
  }

  lineBack(line: CallLine): void {
    this.#line = line;
    this.#call?.lineBack(line);
    for (const [callId, { peer, body }] of [...this.#goodbyes]) this.#sayGoodbye(callId, peer, body, () => {});
  }

  lineLost(): void {
    this.#line = undefined;
    this.#held = undefined;
    this.#call?.lineLost();
  }

  /** Nothing can be resumed any more: a new line is a new connection, and a call from before is over. */
  endAll(): void {
    this.lineLost();
    this.#call?.abandon();
    this.#goodbyes.clear();
  }

  /** @throws {ProtocolError} `busy`, `not-connected`, `unknown-contact`, `self` */
  async dial(uid: Uid): Promise<void> {
    const { own, follower } = this.#around;
    if (this.#call) throw new ProtocolError("busy", "a call is going on");
    if (!this.#line) throw new ProtocolError("not-connected", "a call needs a line to the server");
    if (uid === own) throw new ProtocolError("self", "a handset does not call itself");
    const row = follower.rowOf(uid);
    if (!row) throw new ProtocolError("unknown-contact", "the phonebook has no such row");
    const call = new CallerCall(this.#around, this.#line, { uid, key: row.key });
    this.#call = call;
    await call.dial();
  }

  async accept(): Promise<void> {
    if (this.#call instanceof CalleeCall) await this.#call.accept();
  }

  hangUp(): void {
    this.#call?.hangUp();
  }

  noVoice(callId: string): void {
    if (this.#call?.id === callId) this.#call.noVoice();
  }

  /** @returns false when it could not be said now. @see Call.tellWay */
  tellWay(callId: string, candidates: readonly Address[]): boolean {
    return this.#call?.id === callId && this.#call.tellWay(candidates);
  }

  /** Takes a request whose Call-ID is not the line's. */
  receive(request: SipRequest): void {
    const line = this.#line;
    if (!line) return;
    if (this.#call?.id === request.callId) return this.#call.receive(request);
    if (request.method === "INVITE") return this.#invited(request, line);
    if (this.#held?.request.callId === request.callId) return this.#heldTold(request, line);
    if (this.#ended.has(request.callId)) {
      this.absorbed++;
      if (request.method !== "ACK") line.answer(request, 200);
      return;
    }
    if (request.method !== "ACK") line.answer(request, 481);
  }

  /** An answer that nobody waits for: the fault of its call while that runs, late after it. */
  unexpected(callId: string): void {
    if (this.#call?.id === callId) this.#call.unexpected();
    else this.absorbed++;
  }

  tick(nowMs: number): void {
    this.#call?.tick(nowMs);
    for (const [callId, untilMs] of this.#ended) {
      if (untilMs > nowMs) continue;
      this.#ended.delete(callId);
      this.#line?.forget(callId);
    }
  }

  #invited(request: SipRequest, line: CallLine): void {
    if (this.#held?.request.callId === request.callId || this.#ended.has(request.callId)) {
      return line.answer(request, 481);
    }
    const { endToEnd, hop } = decodeParts(request.body);
    let incoming: Incoming;
    try {
      const invite = decodeInvite(endToEnd);
      const row = this.#around.follower.rowOf(invite.caller);
      if (!row || invite.callId.toString("hex") !== request.callId) return line.answer(request, 603);
      incoming = { request, invite, hop: decodeHop(hop), peer: { uid: row.uid, key: row.key } };
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      return line.answer(request, 603);
    }
    const call = this.#call;
    if (!call) return this.#ring(incoming, line);
    const crossing = call instanceof CallerCall && call.peer.uid === incoming.peer.uid && call.settingUp && !this.#held;
    if (!crossing) return line.answer(request, 486);
    this.#held = incoming;
  }

  #heldTold(request: SipRequest, line: CallLine): void {
    const held = this.#held;
    this.#held = undefined;
    if (!held) return;
    const cancelled = request.method === "CANCEL";
    if (request.method !== "ACK") line.answer(request, cancelled ? 200 : 481);
    line.answer(held.request, cancelled ? 487 : 603);
    this.#ended.set(request.callId, this.#around.now() + ABSORB_MS);
  }

  #ring({ request, invite, hop, peer }: Incoming, line: CallLine): void {
    const call = new CalleeCall(this.#around, line, request, invite, hop, peer);
    this.#call = call;
    void call.ring();
  }

  #sayGoodbye(callId: string, peer: Uid, body: Buffer, answered: AnswerListener): void {
    this.#goodbyes.set(callId, { peer, body });
    this.#line?.request("BYE", { uri: peer, callId, body }, (answer) => {
      this.#goodbyes.delete(callId);
      return answered(answer);
    });
  }

  #over(call: Call, why: CallEnd): void {
    this.#ended.set(call.id, this.#around.now() + ABSORB_MS);
    if (this.#call === call) this.#call = undefined;
    const held = this.#held;
    this.#held = undefined;
    if (!held || !this.#line) return;
    if (why === "busy") return this.#ring(held, this.#line);
    this.#line.answer(held.request, 486);
  }
}

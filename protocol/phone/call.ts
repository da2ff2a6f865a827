/**
 * One call on a handset: what caller and callee share. The halves are in caller.ts and callee.ts.
 *
 * A call outlives its line: voice goes on while the server is away. What ends a call is a value (`CallEnd`); a fault in
 * a call ends the call and nothing else. After each wait a call asks whether it is over, since people hang up in between.
 */
import { ByteReader, concat, u64 } from "../bytes.ts";
import type { Follower } from "../directory/follower.ts";
import { readSignedHead, type SignedHead } from "../directory/tree-head.ts";
import { ProtocolError, VaultError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import type { Address } from "../media/address.ts";
import { encodeCandidates, parseCandidates } from "../media/candidates.ts";
import type { Method, SipRequest, SipResponse } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { KeyPair, Slot, Vault } from "../vault.ts";
import { decodeFarewell, decodeParts, encodeFarewell, encodeParts, expectCallId, type Hop } from "./call-bytes.ts";
import { type CallKeys, callMac, callMacHolds, type Party, wipeCallKeys, wipeMedia } from "./call-keys.ts";
import type { CallEnd, Erased, PhoneEvent } from "./events.ts";
import { type CallKind, type CallPlace, callOrder } from "./orders.ts";
import type { AnswerListener, RequestParts } from "./transactions.ts";

/** A BYE, its 200 or a CANCEL's 487 that does not come in this time is not waited for. */
export const FAREWELL_MS = 2_000;
/** From the callee's 200 to the caller's ACK. */
export const ACK_MS = 5_000;
/** For the path that links two heads. */
export const PATH_MS = 3_000;

/** The line, as a call sees it. */
export interface CallLine {
  request(method: Method, parts: RequestParts, listener?: AnswerListener): SipRequest;
  follow(invite: SipRequest, method: "ACK" | "CANCEL", body: Uint8Array, listener?: AnswerListener): void;
  answer(request: SipRequest, status: number, parts?: { body?: Uint8Array }): void;
  /** Log path from the server; undefined when it has none or does not say so in time. */
  path(olderEpoch: number, newerEpoch: number, withinMs: number): Promise<Buffer | undefined>;
  relayKey(relayId: Uint8Array): Slot<"mac">;
  forget(callId: string): void;
}

export interface CallSurroundings {
  vault: Vault;
  keyPair: KeyPair;
  own: Uid;
  serverKey: PublicKey;
  follower: Follower;
  now(): number;
  tell(event: PhoneEvent): void;
  /** An INFO that does not open, or came again: counted, and nothing else happens. */
  infoDropped(): void;
  /** A BYE or its 200 came with a MAC that does not hold: counted, and the call ends as if it had none. */
  farewellUnproven(): void;
  /** Sends a BYE, now or when there is a line, and again after each resume until it is answered. */
  sayGoodbye(call: Call, body: Buffer, answered: AnswerListener): void;
  /** Called once, after everything of the call is wiped. */
  over(call: Call, why: CallEnd): void;
}

export abstract class Call {
  readonly callId: Buffer;
  readonly peer: { uid: Uid; key: PublicKey };
  readonly own: Party;
  protected readonly around: CallSurroundings;
  protected readonly supervisor: Supervisor<CallPlace, CallKind>;
  protected line: CallLine | undefined;
  protected keys: CallKeys | undefined;
  protected relayKey: Slot<"mac"> | undefined;
  /** The time by which something has to have happened, and what the call ends with if it has not. */
  protected deadline: { atMs: number; passed: () => void } | undefined;
  #over = false;
  /** Counter of the next INFO. */
  #infoCounter = 0;
  /** What the call ends with, once I have said BYE. */
  #leavingFor: CallEnd | undefined;

  constructor(
    around: CallSurroundings,
    line: CallLine,
    own: Party,
    callId: Buffer,
    peer: { uid: Uid; key: PublicKey },
  ) {
    this.around = around;
    this.line = line;
    this.own = own;
    this.callId = callId;
    this.peer = peer;
    this.supervisor = new Supervisor("call", callOrder, own === "A" ? "idle" : "called");
  }

  get id(): string {
    return this.callId.toString("hex");
  }

  get over(): boolean {
    return this.#over;
  }

  get place(): CallPlace {
    return this.supervisor.place;
  }

  get talking(): boolean {
    return this.place === "talking";
  }

  /** What a person means by hang up, in every place. */
  abstract hangUp(): void;

  protected abstract get peerSign(): "a" | "b";

  protected get ownSign(): "a" | "b" {
    return this.own === "A" ? "a" : "b";
  }

  /** Takes one request of this call. @throws {ProtocolError} `malformed` when the LP structure is wrong: the channel's fault */
  receive(request: SipRequest): void {
    const parts = request.body.length > 0 ? decodeParts(request.body) : undefined;
    try {
      this.take(request, parts?.endToEnd ?? Buffer.alloc(0));
    } catch (error) {
      if (request.method !== "ACK") this.line?.answer(request, 481);
      this.fault(error);
    }
  }

  /** An answer came that nobody waits for. */
  unexpected(): void {
    this.fault(new ProtocolError("out-of-order", `call: an answer to nothing in ${this.place}`));
  }

  /** BYE and INFO are the same for both; ACK and CANCEL are the callee's. */
  protected take(request: SipRequest, endToEnd: Buffer): void {
    if (request.method === "BYE") return this.#saidGoodbye(request, endToEnd);
    if (request.method === "INFO") {
      this.supervisor.admit(`${this.peerSign}:way`);
      this.line?.answer(request, 200);
      return this.#wayTold(endToEnd);
    }
    throw new ProtocolError("out-of-order", `call: ${request.method} in ${this.place}`);
  }

  /**
   * Tells the other handset where this one can be reached, sealed; none: "your direct packets reach me".
   *
   * @returns false while there is no line or no key to say it with
   */
  tellWay(candidates: readonly Address[]): boolean {
    const { line, keys } = this;
    if (!line || !keys || !this.talking) return false;
    this.supervisor.admit(`${this.ownSign}:way`);
    const counter = this.#infoCounter++;
    const clear = encodeCandidates(candidates);
    const sealed = this.around.vault.seal(keys.way.send, counter, this.#infoAad(counter), clear);
    const body = encodeParts(concat(u64(counter), sealed));
    line.request("INFO", { uri: this.peer.uid, callId: this.id, body }, () => {});
    return true;
  }

  /** The server passes INFO on and could repeat or alter it: what does not hold is let go, the call is none the worse. */
  #wayTold(endToEnd: Buffer): void {
    const { vault, tell, infoDropped } = this.around;
    if (!this.keys || !this.talking) return; // it crossed my BYE
    let candidates: Address[];
    try {
      const reader = new ByteReader(endToEnd, "INFO");
      const counter = reader.u64();
      const aad = this.#infoAad(counter);
      candidates = parseCandidates(vault.open(this.keys.way.receive, counter, aad, reader.rest()));
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof VaultError)) throw error;
      return infoDropped();
    }
    tell({ event: "way-told", callId: this.id, candidates });
  }

  #infoAad(counter: number): Buffer {
    return concat(this.callId, u64(counter));
  }

  /** Voice stopped coming, 30 s long. */
  noVoice(): void {
    if (this.talking) this.bye("no-voice");
  }

  tick(nowMs: number): void {
    if (!this.deadline || nowMs < this.deadline.atMs) return;
    const { passed } = this.deadline;
    this.deadline = undefined;
    passed();
  }

  lineLost(): void {
    this.line = undefined;
    if (this.talking) return;
    // The server ends a set-up by itself. From the 200 on the other side may be in the call and not know.
    if (this.place === "answered") this.byeWithoutKeys();
    this.end(this.#leavingFor ?? (this.place === "cancelling" ? "cancelled" : "line-lost"));
  }

  /** The line will not come back: keys go here, and nobody can be told. */
  abandon(): void {
    this.line = undefined;
    this.end("line-lost");
  }

  lineBack(line: CallLine): void {
    this.line = line;
  }

  /** A fault in the call: the call ends, the channel stays. */
  protected fault(error: unknown): void {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (this.#over) return;
    const evidence = "evidence" in error ? (error.evidence as Buffer | undefined) : undefined;
    if (evidence) this.around.tell({ event: "evidence", bytes: evidence });
    const why: CallEnd = evidence ? "two-directories" : error.code === "heads-apart" ? "heads-apart" : "not-authentic";
    this.refuse(why);
  }

  /** Says no in the way the place asks for, without keys. */
  protected abstract refuse(why: CallEnd): void;

  /** Hangs up with or without keys and waits for the other's word that its own are gone. */
  protected bye(why: CallEnd): void {
    const { vault } = this.around;
    const mac = this.keys && this.talking ? callMac(vault, this.keys, "bye", this.own) : undefined;
    const body = encodeParts(encodeFarewell(this.callId, mac));
    this.release();
    this.supervisor.admit(`${this.ownSign}:bye`);
    this.around.sayGoodbye(this, body, (answer) => this.#byeAnswered(answer, why));
    if (!this.line) return this.end(why);
    this.#leavingFor = why;
    this.deadline = { atMs: this.around.now() + FAREWELL_MS, passed: () => this.end(why) };
  }

  /** After a fault: the other side hears that it is over and no more. */
  protected byeWithoutKeys(): void {
    this.around.sayGoodbye(this, encodeParts(encodeFarewell(this.callId)), () => {});
  }

  #byeAnswered(answer: SipResponse, why: CallEnd): void {
    if (this.#over) return;
    const parts = answer.body.length > 0 ? decodeParts(answer.body) : undefined;
    this.supervisor.admit(`${this.peerSign}:gone`);
    if (this.place !== "ended") return; // their BYE crossed ours and is still to be answered
    this.end(why, this.#peerGone(parts?.endToEnd) ? "both" : undefined);
  }

  #peerGone(endToEnd: Buffer | undefined): boolean {
    if (!endToEnd || !this.keys) return false;
    try {
      const { callId, mac } = decodeFarewell(endToEnd);
      expectCallId(callId, this.callId);
      return this.#proves("gone", mac);
    } catch {
      return false; // a 200 that proves nothing: the keys are gone here only
    }
  }

  /** Whether that is the other handset's word. */
  #proves(word: "bye" | "gone", mac: Buffer | undefined): boolean {
    const { vault, farewellUnproven } = this.around;
    if (!this.keys || !mac) return false;
    const holds = callMacHolds(vault, this.keys, word, this.own === "A" ? "B" : "A", mac);
    if (!holds) farewellUnproven();
    return holds;
  }

  #saidGoodbye(request: SipRequest, endToEnd: Buffer): void {
    const { vault } = this.around;
    const bye = decodeFarewell(endToEnd);
    expectCallId(bye.callId, this.callId);
    // Without MAC it proves no keys, whoever made it: then nobody waits for word of mine.
    this.supervisor.admit(bye.mac ? `${this.peerSign}:bye` : "s:bye");
    const holds = this.#proves("bye", bye.mac);
    const gone = holds && this.keys ? callMac(vault, this.keys, "gone", this.own) : undefined;
    this.release();
    if (bye.mac) this.supervisor.admit(`${this.ownSign}:gone`);
    const line = this.line;
    if (this.place === "ended") this.end("hung-up-there", holds ? "both" : undefined);
    line?.answer(request, 200, { body: encodeParts(encodeFarewell(this.callId, gone)) });
  }

  /** Judges the other handset's head against one's own (design 4, Chain). */
  protected async judgeHead(bytes: Buffer, signature: Buffer): Promise<void> {
    const { follower, serverKey } = this.around;
    const peerHead = readSignedHead(bytes, signature, serverKey);
    const verdict = follower.judgePeerHead(peerHead);
    if (verdict === "same" || verdict === "newer") return; // the holder of the newer head asks
    if (verdict === "older") return this.#linkHeads(peerHead);
    throw Object.assign(new ProtocolError("two-heads", "two signed heads of one epoch differ"), verdict);
  }

  async #linkHeads(older: SignedHead): Promise<void> {
    const { follower } = this.around;
    const newer = follower.head;
    if (!newer || !this.line) throw new ProtocolError("heads-apart", "no line to ask for the path between two heads");
    const path = await this.line.path(older.head.epoch, newer.head.epoch, PATH_MS);
    if (!path) throw new ProtocolError("heads-apart", "no path between the two heads came in time");
    const verdict = follower.checkPath(older, newer, path);
    if (verdict === "linked") return;
    if (verdict === "malformed") throw new ProtocolError("heads-apart", "the path between the two heads is malformed");
    throw Object.assign(new ProtocolError("two-heads", "the log shows another head at that epoch"), verdict);
  }

  /** Keys are agreed and proven; the firmware starts the voice. */
  protected agreed(keys: CallKeys, sas: readonly number[]): void {
    this.around.tell({ event: "agreed", callId: this.id, peer: this.peer.uid, own: this.own, sas, keys });
  }

  protected keepHop(hop: Hop): void {
    if (!this.line) return;
    this.relayKey = this.line.relayKey(hop.relayId);
    this.around.tell({ event: "relay", callId: this.id, id: Buffer.from(hop.relayId), key: this.relayKey });
  }

  /** Voice stops and its keys go; the confirm keys stay for the farewell. */
  protected release(): void {
    if (!this.keys) return;
    this.around.tell({ event: "release", callId: this.id });
    wipeMedia(this.around.vault, this.keys);
  }

  protected end(why: CallEnd, erased?: Erased): void {
    if (this.#over) return;
    this.#over = true;
    this.deadline = undefined;
    const had = this.keys !== undefined;
    if (this.keys) {
      this.release();
      wipeCallKeys(this.around.vault, this.keys);
      this.keys = undefined;
    }
    this.around.vault.wipe(this.relayKey);
    this.wipeSetUp();
    this.around.tell({
      event: "ended",
      callId: this.id,
      peer: this.peer.uid,
      why,
      erased: had ? (erased ?? "here") : "none",
    });
    this.around.over(this, why);
  }

  /** What only the set-up needed. */
  protected abstract wipeSetUp(): void;
}

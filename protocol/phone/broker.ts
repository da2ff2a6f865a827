/**
 * The server's part of every call: it makes the one-time secret, wraps it for both handsets and forgets it, then passes
 * signals on without being able to read or answer them (seed 000, call 2; design 4).
 *
 *     A --INVITE--> broker --INVITE, S_ab for B--> B
 *     A <--100, S_ab for A-- broker                        A <--180, 200-- broker <--180, 200-- B
 *     A --ACK, BYE, INFO--> broker --the same, another hop--> B     and back
 *
 * A back-to-back agent (RFC 3261 §6): towards each side it is the other end of that side's transactions.
 */
import { wrap } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import { newRelayId } from "../media/relay.ts";
import type { SipMessage, SipRequest, SipResponse } from "../sip.ts";
import { Supervisor } from "../supervisor.ts";
import type { Vault } from "../vault.ts";
import type { CallLine } from "./call.ts";
import {
  decodeInvite,
  decodeParts,
  encodeFarewell,
  encodeHop,
  encodeParts,
  type Invite,
  wrapTranscript,
} from "./call-bytes.ts";
import { ABSORB_MS } from "./handset-calls.ts";
import { type CallKind, type CallPlace, callOrder } from "./orders.ts";
import type { RelayKey } from "./relay-key.ts";

export const RING_MS = 60_000;
/** From the callee's 200 to the caller's ACK; the callee itself waits 5 s. */
const ANSWERED_MS = 10_000;
/** For a BYE's 200 or a CANCEL's 487 that never comes; the handsets wait 2 s. */
const FAREWELL_MS = 5_000;

const MAY_REFUSE = new Set([404, 408, 480, 481, 482, 486, 487, 503, 603]);

export interface BrokerLine extends Pick<CallLine, "request" | "follow" | "answer" | "forget"> {
  readonly uid: Uid;
  readonly client: PublicKey;
  /** The handset is the one it was before its line was lost; else it has begun anew and is in no call. */
  readonly resumed: boolean;
  relayKey(relayId: Uint8Array): RelayKey;
}

export interface RelayEnd {
  relayId: Buffer;
  key: RelayKey;
}

export interface BrokerHost {
  /** The line of a handset that is in the loop. */
  lineOf(uid: Uid): BrokerLine | undefined;
  /** 480 for someone who is known and away, 404 for a stranger. */
  knows(uid: Uid): boolean;
  /** Takes the keys over. @returns closes both ends and wipes the keys */
  openRelay(a: RelayEnd, b: RelayEnd): () => void;
  now(): number;
  /** Everything the server held of this call is wiped. */
  callOver(callId: string, status: number): void;
}

type Sign = "a" | "b";

const NOTHING_IN_PARTS = encodeParts();

interface Side {
  uid: Uid;
  /** INVITE on this side's line: A's own, or the one sent to B. */
  invite: SipRequest;
  /** Undefined while the handset's line is lost. */
  line: BrokerLine | undefined;
}

interface BrokeredCall {
  id: string;
  bytes: Buffer;
  a: Side;
  b: Side;
  supervisor: Supervisor<CallPlace, CallKind>;
  closeRelay: () => void;
  deadline: { atMs: number; status: number };
}

export class CallBroker {
  readonly #vault: Vault;
  readonly #host: BrokerHost;
  readonly #calls = new Map<string, BrokeredCall>();
  /** Each handset is in at most one call. */
  readonly #busy = new Map<Uid, BrokeredCall>();
  readonly #ended = new Map<string, { untilMs: number; uids: Uid[] }>();
  /** Ended calls whose BYE a handset has not answered: it is said again after a resume. */
  readonly #owed = new Map<Uid, Set<BrokeredCall>>();
  absorbed = 0;

  constructor(vault: Vault, host: BrokerHost) {
    this.#vault = vault;
    this.#host = host;
  }

  get running(): number {
    return this.#calls.size;
  }

  /**
   * An answer that nobody waits for. A running call, whose Call-ID only its two handsets know, ends with it.
   *
   * @returns whether it was absorbed
   */
  absorbs(callId: string): boolean {
    const call = this.#calls.get(callId);
    if (call) this.#farewell(call, 481);
    else this.absorbed++;
    return !call;
  }

  /** Takes a request of a call. @throws {ProtocolError} `malformed`, `bad-sip`: that line's fault */
  receive(line: BrokerLine, request: SipRequest): void {
    const endToEnd = endToEndOf(request);
    const call = this.#calls.get(request.callId);
    const sign = call && this.#signOf(call, line);
    if (!call || !sign) {
      if (request.method === "INVITE") return this.#invited(line, request, endToEnd);
      return this.#late(line, request);
    }
    try {
      this.#pass(call, sign, line, request);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      // A fault in a call ends the call; both lines stay.
      if (request.method !== "ACK") line.answer(request, 481);
      this.#farewell(call, 481);
    }
  }

  tick(nowMs: number): void {
    for (const [callId, { untilMs, uids }] of this.#ended) {
      if (untilMs > nowMs) break; // the oldest comes first
      this.#ended.delete(callId);
      for (const uid of uids) this.#host.lineOf(uid)?.forget(callId);
    }
    for (const call of [...this.#calls.values()]) {
      if (call.deadline.atMs <= nowMs) this.#farewell(call, call.deadline.status);
    }
  }

  /** A line is lost and may come back: a call that talks goes on without it. */
  lineLost(uid: Uid): void {
    const call = this.#busy.get(uid);
    if (!call) return;
    const side = call.a.uid === uid ? call.a : call.b;
    side.line = undefined;
    if (call.supervisor.place !== "talking") this.#farewell(call, 480);
  }

  lineBack(line: BrokerLine): void {
    // The handset knows that its line was lost, even if nobody noticed here.
    if (line.resumed) this.lineLost(line.uid);
    else this.lineGone(line.uid);
    for (const call of [...(this.#owed.get(line.uid) ?? [])]) this.#byeTo(call, line);
    const call = this.#busy.get(line.uid);
    if (!call) return;
    (call.a.uid === line.uid ? call.a : call.b).line = line;
  }

  /** A handset left, was replaced, or did not come back in time. */
  lineGone(uid: Uid): void {
    this.lineLost(uid);
    const call = this.#busy.get(uid);
    if (call) this.#farewell(call, 480);
    this.#owed.delete(uid);
  }

  /** Source: seed 000, call 2 to 2.1. */
  #invited(line: BrokerLine, request: SipRequest, endToEnd: Buffer): void {
    if (this.#calls.has(request.callId) || this.#ended.has(request.callId)) return line.answer(request, 481);
    const invite = readInvite(endToEnd, line.uid, request);
    if (!invite) return line.answer(request, 603);
    const { callee } = invite;
    if (callee === line.uid) return line.answer(request, 482);
    if (!this.#host.knows(callee)) return line.answer(request, 404);
    const calleeLine = this.#host.lineOf(callee);
    if (!calleeLine) return line.answer(request, 480);
    if (this.#busy.has(line.uid) || this.#busy.has(callee)) return line.answer(request, 486);

    const relay = { a: newRelayId(), b: newRelayId() };
    const hops = this.#makeSecret(invite, line, calleeLine, relay);
    const closeRelay = this.#host.openRelay(
      { relayId: relay.a, key: line.relayKey(relay.a) },
      { relayId: relay.b, key: calleeLine.relayKey(relay.b) },
    );
    const supervisor = new Supervisor("call", callOrder, "idle");
    supervisor.admit("a:invite");
    const call: BrokeredCall = {
      id: request.callId,
      bytes: invite.callId,
      a: { uid: line.uid, invite: request, line },
      // Replaced in a moment: the request exists once it is sent, and its answers need the call.
      b: { uid: callee, invite: request, line: calleeLine },
      supervisor,
      closeRelay,
      deadline: { atMs: this.#host.now() + RING_MS, status: 408 },
    };
    this.#calls.set(call.id, call);
    this.#busy.set(line.uid, call);
    this.#busy.set(callee, call);
    supervisor.admit("s:trying");
    line.answer(request, 100, { body: encodeParts(undefined, hops.a) });
    call.b.invite = calleeLine.request(
      "INVITE",
      { uri: callee, callId: call.id, body: encodeParts(endToEnd, hops.b) },
      (answer) => this.#answered(call, answer),
    );
  }

  /** client0_client1_secret: wrapped for both, and wiped before anybody hears of it. */
  #makeSecret(invite: Invite, a: BrokerLine, b: BrokerLine, relay: { a: Buffer; b: Buffer }): { a: Buffer; b: Buffer } {
    const secret = this.#vault.newSecret();
    try {
      const { callId, caller, callee } = invite;
      const hopFor = (owner: BrokerLine, relayId: Buffer) => {
        const t = wrapTranscript(callId, caller, callee, owner.uid);
        return encodeHop({ wrapped: wrap(this.#vault, owner.client, "call", t, secret.wrap), relayId });
      };
      return { a: hopFor(a, relay.a), b: hopFor(b, relay.b) };
    } finally {
      this.#vault.wipe(secret.wrap, secret.derive);
    }
  }

  #answered(call: BrokeredCall, answer: SipResponse): void {
    endToEndOf(answer);
    if (!this.#calls.has(call.id)) return;
    const { a, supervisor } = call;
    try {
      if (answer.status === 100) throw new ProtocolError("out-of-order", "call: a 100 is the server's");
      if (answer.status === 180) {
        supervisor.admit("b:ringing");
        return a.line?.answer(a.invite, 180);
      }
      if (answer.status === 200) {
        supervisor.admit("b:answer");
        if (supervisor.place === "answered") call.deadline = { atMs: this.#host.now() + ANSWERED_MS, status: 408 };
        return a.line?.answer(a.invite, 200, { body: passedOn(answer) });
      }
      supervisor.admit("refused");
      const status = MAY_REFUSE.has(answer.status) ? answer.status : 603;
      a.line?.answer(a.invite, status);
      this.#end(call, status);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#farewell(call, 481);
    }
  }

  #pass(call: BrokeredCall, sign: Sign, line: BrokerLine, request: SipRequest): void {
    const to = sign === "a" ? call.b : call.a;
    const body = passedOn(request);
    switch (request.method) {
      case "ACK":
        if (sign === "b") throw new ProtocolError("out-of-order", "call: an ACK of the callee");
        call.supervisor.admit("a:ack");
        if (call.supervisor.place === "talking") call.deadline = { atMs: Number.POSITIVE_INFINITY, status: 408 };
        return to.line?.follow(call.b.invite, "ACK", body);
      case "CANCEL":
        if (sign === "b") throw new ProtocolError("out-of-order", "call: a CANCEL of the callee");
        return this.#cancelled(call, line, request);
      case "BYE":
        return this.#bye(call, sign, line, request);
      case "INFO":
        call.supervisor.admit(`${sign}:way`);
        if (!to.line) return line.answer(request, 200);
        to.line.request("INFO", { uri: to.uid, callId: call.id, body }, (answer) =>
          this.#answer(line, request, answer.status),
        );
        return;
      default:
        throw new ProtocolError("out-of-order", `call: ${request.method} has no place here`);
    }
  }

  #cancelled(call: BrokeredCall, line: BrokerLine, request: SipRequest): void {
    call.supervisor.admit("a:cancel");
    line.answer(request, 200);
    if (call.supervisor.place === "b-leaving") return; // it crossed b's BYE
    if (call.supervisor.place === "ended") {
      // The 200 came first: the callee learns by BYE, and the caller's own BYE will be absorbed.
      this.#byeTo(call, call.b.line);
      return this.#end(call, 487);
    }
    call.supervisor.admit("s:cancelled");
    call.deadline = { atMs: this.#host.now() + FAREWELL_MS, status: 487 };
    call.b.line?.follow(call.b.invite, "CANCEL", Buffer.alloc(0), () => {});
  }

  #bye(call: BrokeredCall, sign: Sign, line: BrokerLine, request: SipRequest): void {
    const other: Sign = sign === "a" ? "b" : "a";
    const to = call[other];
    call.supervisor.admit(`${sign}:bye`);
    call.deadline = { atMs: this.#host.now() + FAREWELL_MS, status: 200 };
    if (!to.line) {
      line.answer(request, 200, { body: encodeParts(encodeFarewell(call.bytes)) });
      return this.#end(call, 200);
    }
    to.line.request("BYE", { uri: to.uid, callId: call.id, body: passedOn(request) }, (answer) => {
      const gone = endToEndOf(answer);
      this.#answer(line, request, 200, gone.length > 0 ? answer.body : encodeParts(encodeFarewell(call.bytes)));
      if (!this.#calls.has(call.id)) return;
      call.supervisor.admit(`${other}:gone`);
      if (call.supervisor.place === "ended") this.#end(call, 200);
    });
  }

  /** On the line that the request came by, unless that is gone: what was asked on it waits for nothing any more. */
  #answer(line: BrokerLine, request: SipRequest, status: number, body?: Buffer): void {
    if (this.#host.lineOf(line.uid) === line) line.answer(request, status, body ? { body } : {});
  }

  /** Nobody waits for it any more. */
  #late(line: BrokerLine, request: SipRequest): void {
    const lately = this.#ended.has(request.callId);
    if (lately) this.absorbed++;
    if (request.method === "ACK") return;
    line.answer(request, lately ? 200 : 481);
  }

  /** The server ends a call: each side hears it in the form its place asks for. */
  #farewell(call: BrokeredCall, status: number): void {
    const { a, b, supervisor } = call;
    switch (supervisor.place) {
      case "inviting":
      case "trying":
      case "ringing":
        supervisor.admit("refused");
        a.line?.answer(a.invite, status);
        b.line?.follow(b.invite, "CANCEL", Buffer.alloc(0), () => {});
        break;
      case "cancelling":
        supervisor.admit("refused");
        a.line?.answer(a.invite, 487);
        break;
      case "ended":
        break;
      default:
        supervisor.admit("s:bye");
        this.#byeTo(call, a.line);
        this.#byeTo(call, b.line);
    }
    this.#end(call, status);
  }

  /** Says the server's BYE; what is lost with the line is owed. */
  #byeTo(call: BrokeredCall, line: BrokerLine | undefined): void {
    if (!line) return;
    const { uid } = line;
    this.#owe(uid, call);
    const body = encodeParts(encodeFarewell(call.bytes));
    line.request("BYE", { uri: uid, callId: call.id, body }, () => {
      const owed = this.#owed.get(uid);
      if (owed?.delete(call) && owed.size === 0) this.#owed.delete(uid);
    });
  }

  #end(call: BrokeredCall, status: number): void {
    if (!this.#calls.delete(call.id)) return;
    this.#ended.set(call.id, { untilMs: this.#host.now() + ABSORB_MS, uids: [call.a.uid, call.b.uid] });
    call.closeRelay();
    for (const side of [call.a, call.b]) {
      this.#busy.delete(side.uid);
      if (!side.line) this.#owe(side.uid, call);
    }
    this.#host.callOver(call.id, status);
  }

  #owe(uid: Uid, call: BrokeredCall): void {
    this.#owed.set(uid, (this.#owed.get(uid) ?? new Set()).add(call));
  }

  #signOf(call: BrokeredCall, line: BrokerLine): Sign | undefined {
    if (call.a.uid === line.uid) return "a";
    return call.b.uid === line.uid ? "b" : undefined;
  }
}

/**
 * What the other handset is to get of a message of a call.
 *
 * @throws {ProtocolError} `malformed`, `bad-sip`: the sender's line is at fault
 */
function endToEndOf(message: SipMessage): Buffer {
  if (message.body.length === 0) return Buffer.alloc(0);
  const { endToEnd, hop } = decodeParts(message.body);
  if (hop.length > 0) throw new ProtocolError("bad-sip", "a handset sent a hop, which is the server's");
  return endToEnd;
}

/** Without a hop there is nothing to add, so what was found well-formed goes on as it came. */
function passedOn({ body }: SipMessage): Buffer {
  return body.length > 0 ? body : NOTHING_IN_PARTS;
}

/** I, when it is of this sender and this call; its signature is for the callee to judge. */
function readInvite(endToEnd: Buffer, sender: Uid, request: SipRequest): Invite | undefined {
  try {
    const invite = decodeInvite(endToEnd);
    const fits = invite.callId.toString("hex") === request.callId && invite.caller === sender;
    return fits && invite.callee === request.uri ? invite : undefined;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return undefined;
  }
}

/**
 * One sealed line, as both halves of the telephone have it: SIP messages through the channel, requests and answers
 * matched, PING, time limits. What the messages mean is in handset-line.ts and server-line.ts.
 *
 *     receive(body) -> channel.open -> parseSip -> transactions.admit -> take(request) | listener(answer)
 */
import type { SealedChannel } from "../channel/sealed.ts";
import { ProtocolError } from "../errors.ts";
import { type Method, type Party, parseSip, type SipMessage, type SipRequest, sipWriter } from "../sip.ts";
import { type AnswerListener, type AnswerParts, type RequestParts, Transactions } from "./transactions.ts";

/** PING when nothing was sent or nothing was heard for this long. */
export const PING_MS = 20_000;
/** Dropped at once: who has slept this long does not wait for a PING. */
export const SILENCE_MS = 60_000;
/** For each step until the phonebook is acknowledged. */
export const STEP_MS = 5_000;

/** One message that passed, without its contents. */
export interface Passed {
  /** "sent" or "received", seen from this end. */
  direction: "sent" | "received";
  /** e.g. "MESSAGE head", "200 head", "INVITE", "180 INVITE". */
  kind: string;
  /** Bytes of the SIP message. */
  size: number;
}

export interface LineOutlet {
  /** One whole frame, its header too, in the order of the calls. It belongs to the outlet now. */
  send(frame: Buffer): void;
  passed(message: Passed): void;
}

interface Awaited {
  untilMs: number;
  what: string;
}

export interface LineOptions {
  channel: SealedChannel;
  self: Party;
  peer: Party;
  /** The line's Call-ID. */
  callId: string;
  /** CSeq that the handset's requests before the channel have used: 2 after M4, 1 after R1. */
  usedCSeq: number;
  /** How long an answer may take: client 15 s, server 30 s. */
  answerMs: number;
  outlet: LineOutlet;
  now(): number;
}

export function kindOf(message: SipMessage): string {
  const word = message.feldfon ?? message.cseq.method;
  if (message.type === "response") return `${message.status} ${word}`;
  return message.feldfon === undefined ? message.method : `${message.method} ${message.feldfon}`;
}

export abstract class Line {
  readonly channel: SealedChannel;
  readonly callId: string;
  protected readonly transactions: Transactions;
  protected readonly now: () => number;
  readonly #answerMs: number;
  readonly #outlet: LineOutlet;
  /** Answers that have to come by a time, oldest first; few, mostly one. */
  #awaited: Awaited[] = [];
  #sentAtMs: number;
  #heardAtMs: number;
  /** A PING is on its way. */
  #pinging = false;
  #ended = false;

  constructor(options: LineOptions) {
    this.channel = options.channel;
    this.callId = options.callId;
    this.now = options.now;
    this.#answerMs = options.answerMs;
    this.#outlet = options.outlet;
    const handset = options.self !== "server";
    this.transactions = new Transactions({
      self: options.self,
      peer: options.peer,
      callId: options.callId,
      sentCSeq: handset ? options.usedCSeq : 0,
      seenCSeq: handset ? 0 : options.usedCSeq,
    });
    this.#sentAtMs = this.#heardAtMs = this.now();
  }

  /** Closed by an orderly leave: what still comes is dropped. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Takes one frame body.
   *
   * @returns a promise when that takes its time: then nothing else may be taken meanwhile
   * @throws {ProtocolError} the line is to be closed and its secrets wiped
   */
  receive(body: Buffer): void | Promise<void> {
    if (this.#ended) return;
    const clear = this.channel.open(body);
    const message = parseSip(clear);
    this.#heardAtMs = this.now();
    this.#outlet.passed({ direction: "received", kind: kindOf(message), size: clear.length });
    const listener = this.transactions.admit(message);
    if (message.type === "request") return this.take(message);
    if (listener === "unexpected") {
      // Of a call it is that call's fault, and nobody's when the call is over.
      if (message.callId !== this.callId) return this.unexpected(message.callId);
      throw new ProtocolError("out-of-order", `${kindOf(message)} answers nothing that was asked`);
    }
    return listener?.(message);
  }

  /** Sends PINGs, notices silence. @throws {ProtocolError} `timeout`: the line is lost, not at fault */
  tick(): void {
    if (this.#ended) return;
    const nowMs = this.now();
    if (nowMs - this.#heardAtMs > SILENCE_MS) throw new ProtocolError("timeout", "nothing came for 60 s");
    for (const { untilMs, what } of this.#awaited) {
      if (untilMs <= nowMs) throw new ProtocolError("timeout", `no answer to ${what} came in time`);
    }
    // Also while there is much to say: on a line that is dead one way nobody may ever answer.
    if (nowMs - Math.min(this.#sentAtMs, this.#heardAtMs) >= PING_MS) this.#ping();
  }

  /** Sends a request. */
  request(method: Method, parts: RequestParts, listener?: AnswerListener): SipRequest {
    const request = this.transactions.request(method, parts, listener);
    this.#send(request);
    return request;
  }

  follow(invite: SipRequest, method: "ACK" | "CANCEL", body: Uint8Array, listener?: AnswerListener): void {
    this.#send(this.transactions.follow(invite, method, body, listener));
  }

  answer(request: SipRequest, status: number, parts: AnswerParts = {}): void {
    this.#send(this.transactions.answer(request, status, parts));
  }

  forget(callId: string): void {
    this.transactions.forget(callId);
  }

  /** Sends a request whose final answer has to come in time. */
  protected ask(method: Method, parts: RequestParts, listener: AnswerListener, withinMs = this.#answerMs): SipRequest {
    const { feldfon } = parts;
    const { heard } = this.expect(feldfon === undefined ? method : `${method} ${feldfon}`, withinMs);
    return this.request(method, parts, (answer) => {
      if (answer.status >= 200) heard();
      return listener(answer);
    });
  }

  /** Something the other end has to say unasked, until `heard` is called. */
  protected expect(what: string, withinMs: number): { heard(): void } {
    const awaited = { untilMs: this.now() + withinMs, what };
    this.#awaited.push(awaited);
    const heard = () => {
      const at = this.#awaited.indexOf(awaited);
      if (at >= 0) this.#awaited.splice(at, 1);
    };
    return { heard };
  }

  protected end(): void {
    this.#ended = true;
    this.#awaited = [];
  }

  /** Takes a request that is admitted. */
  protected abstract take(request: SipRequest): void | Promise<void>;

  /** PING has its place in the loop (step 8), not before. */
  protected abstract get mayPing(): boolean;

  /** An answer came in a call that nobody waits for. */
  protected abstract unexpected(callId: string): void;

  #ping(): void {
    if (this.#pinging || !this.mayPing) return;
    this.#pinging = true;
    this.ask("MESSAGE", { feldfon: "ping" }, () => {
      this.#pinging = false;
    });
  }

  #send(message: SipMessage): void {
    this.#sentAtMs = this.now();
    const { bytes, write } = sipWriter(message);
    this.#outlet.send(this.channel.sealFrame(bytes, write));
    this.#outlet.passed({ direction: "sent", kind: kindOf(message), size: bytes });
  }
}

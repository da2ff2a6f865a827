/**
 * Requests and their answers on one line (RFC 3261 §17, on a channel that neither loses nor repeats).
 *
 * Each sender counts its requests by CSeq, strictly rising; ACK and CANCEL repeat their INVITE's number. Answers match
 * by Call-ID, CSeq and method, and copy Via, From, To, Call-ID and CSeq (wire.md 3, Form).
 */
import { viewOf } from "../bytes.ts";
import { RisingCounter } from "../counters.ts";
import { ProtocolError } from "../errors.ts";
import { hex, type Method, type Party, type SipMessage, type SipRequest, type SipResponse } from "../sip.ts";

const BRANCH_BYTES = 8;
const TAG_BYTES = 8;
const NOTHING = Buffer.alloc(0);

/** What becomes of an answer; provisional ones (1xx) may come before the final one. */
export type AnswerListener = (answer: SipResponse) => void | Promise<void>;

export interface RequestParts {
  /** The other handset in a call; else the line's other end. */
  uri?: Party;
  /** call_id in a call; else the line's own. */
  callId?: string;
  feldfon?: string;
  /** A long one may come in pieces. */
  body?: Uint8Array | readonly Uint8Array[];
}

export interface AnswerParts {
  /** Else the request's word. */
  feldfon?: string;
  body?: Uint8Array;
  /** Of a 503. */
  retryAfterS?: number;
}

interface Pending {
  request: SipRequest;
  listener: AnswerListener;
}

export class Transactions {
  readonly self: Party;
  readonly peer: Party;
  readonly callId: string;
  readonly #tag = hex(TAG_BYTES);
  /** Few at a time, mostly one. */
  #pending: Pending[] = [];
  /** CSeq of the INVITE that came, by Call-ID, for the ACK or CANCEL that repeats it. */
  readonly #invitesSeen = new Map<string, number>();
  readonly #seen: RisingCounter;
  #nextCSeq: number;

  /** @param lastCSeq requests that both sides have counted on this line before: M1, M4 or R1 of the handset */
  constructor(options: { self: Party; peer: Party; callId: string; sentCSeq: number; seenCSeq: number }) {
    this.self = options.self;
    this.peer = options.peer;
    this.callId = options.callId;
    this.#nextCSeq = options.sentCSeq + 1;
    this.#seen = new RisingCounter(options.seenCSeq);
  }

  get waiting(): number {
    return this.#pending.length;
  }

  request(method: Method, parts: RequestParts, listener?: AnswerListener): SipRequest {
    const { uri = this.peer, body } = parts;
    const request: SipRequest = {
      type: "request",
      method,
      uri,
      branch: hex(BRANCH_BYTES),
      from: { party: this.self, tag: this.#tag },
      to: { party: uri },
      callId: parts.callId ?? this.callId,
      cseq: { number: this.#nextCSeq++, method },
      ...(parts.feldfon === undefined ? {} : { feldfon: parts.feldfon }),
      ...(body === undefined || body instanceof Uint8Array
        ? { body: viewOf(body ?? NOTHING) }
        : { body: NOTHING, pieces: body }),
    };
    return this.#remember(request, listener);
  }

  /** ACK or CANCEL of an INVITE: its Via, its number (RFC 3261 §9.1, §13.2.2.4). */
  follow(invite: SipRequest, method: "ACK" | "CANCEL", body: Uint8Array, listener?: AnswerListener): SipRequest {
    const request: SipRequest = {
      type: "request",
      method,
      uri: invite.uri,
      branch: method === "CANCEL" ? invite.branch : hex(BRANCH_BYTES),
      from: invite.from,
      to: invite.to,
      callId: invite.callId,
      cseq: { number: invite.cseq.number, method },
      body: viewOf(body),
    };
    return this.#remember(request, listener);
  }

  answer(request: SipRequest, status: number, parts: AnswerParts = {}): SipResponse {
    const feldfon = parts.feldfon ?? request.feldfon;
    return {
      type: "response",
      status,
      branch: request.branch,
      from: request.from,
      to: status === 100 ? request.to : { party: request.to.party, tag: this.#tag },
      callId: request.callId,
      cseq: request.cseq,
      ...(feldfon === undefined ? {} : { feldfon }),
      ...(parts.retryAfterS === undefined ? {} : { retryAfterS: parts.retryAfterS }),
      body: viewOf(parts.body ?? NOTHING),
    };
  }

  /**
   * Holds what came against the proven peer and the counters.
   *
   * @returns the listener of an answer; "unexpected" for one nobody waits for, which the line judges; undefined for a request
   * @throws {ProtocolError} `bad-sip`, `out-of-order`
   */
  admit(message: SipMessage): AnswerListener | "unexpected" | undefined {
    return message.type === "request" ? this.#admitRequest(message) : this.#admitAnswer(message);
  }

  /** No final answer will be taken any more, e.g. of a call that ended here. */
  forget(callId: string): void {
    this.#pending = this.#pending.filter(({ request }) => request.callId !== callId);
    this.#invitesSeen.delete(callId);
  }

  #remember(request: SipRequest, listener?: AnswerListener): SipRequest {
    if (listener) this.#pending.push({ request, listener });
    return request;
  }

  #admitRequest(request: SipRequest): undefined {
    if (request.from.party !== this.peer) throw new ProtocolError("bad-sip", "From names another than the proven peer");
    if (request.to.party !== request.uri) throw new ProtocolError("bad-sip", "To and Request-URI name two parties");
    if (request.method === "ACK" || request.method === "CANCEL") {
      // Without an INVITE it is of no call, or of one that is forgotten: that is for the calls to judge.
      const invited = this.#invitesSeen.get(request.callId) ?? request.cseq.number;
      if (invited === request.cseq.number) return;
      throw new ProtocolError("out-of-order", `${request.method} repeats another number than its INVITE's`);
    }
    if (!this.#seen.accept(request.cseq.number)) {
      throw new ProtocolError("out-of-order", `CSeq ${request.cseq.number} of a request is not above all earlier ones`);
    }
    // The first one counts: what still follows it is not at fault for a second one.
    if (request.method === "INVITE" && !this.#invitesSeen.has(request.callId)) {
      this.#invitesSeen.set(request.callId, request.cseq.number);
    }
  }

  #admitAnswer(answer: SipResponse): AnswerListener | "unexpected" {
    const { callId, cseq } = answer;
    const at = this.#pending.findIndex(
      ({ request }) =>
        request.cseq.number === cseq.number && request.method === cseq.method && request.callId === callId,
    );
    const pending = this.#pending[at];
    if (!pending) return "unexpected";
    const { request, listener } = pending;
    if (answer.status < 200 && request.method !== "INVITE") {
      throw new ProtocolError("bad-sip", `a provisional answer to ${request.method}`);
    }
    if (
      answer.branch !== request.branch ||
      answer.from.party !== request.from.party ||
      answer.from.tag !== request.from.tag ||
      answer.to.party !== request.to.party
    ) {
      throw new ProtocolError("bad-sip", `an answer to ${request.method} does not copy Via, From and To`);
    }
    if (answer.status >= 200) this.#pending.splice(at, 1);
    return listener;
  }
}

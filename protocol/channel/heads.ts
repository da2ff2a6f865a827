/**
 * The SIP heads of what travels in clear (wire.md 2: rows 1, 1.1, resume). One table reads and writes them.
 *
 *     M1  REGISTER            Feldfon m1, CSeq 1        R1  REGISTER   Feldfon r1, CSeq 1
 *     M2  401                 Feldfon m1                R2  200        Feldfon r1
 *         400                 Feldfon key-bad               481        Feldfon r1
 *         503 + Retry-After   Feldfon m1
 *     M4  REGISTER + Authorization, Feldfon m4, CSeq 2
 *
 * Reading throws ProtocolError: `bad-sip` for a head in another form, `out-of-order` for none of these messages.
 */
import { ProtocolError } from "../errors.ts";
import type { Uid } from "../identity.ts";
import { encodeSip, hex, parseSip, type SipMessage, type SipRequest, type SipResponse } from "../sip.ts";
import type { ClearKind } from "./orders.ts";

export type Random = (bytes: number) => Buffer;

interface Form {
  readonly kind: ClearKind;
  /** Status of an answer; without one it is a REGISTER. */
  readonly status?: number;
  readonly word: string;
  readonly cseq: number;
}

const FORMS: readonly Form[] = [
  { kind: "c:m1", word: "m1", cseq: 1 },
  { kind: "s:m2", status: 401, word: "m1", cseq: 1 },
  { kind: "s:refused", status: 400, word: "key-bad", cseq: 1 },
  { kind: "s:refused", status: 503, word: "m1", cseq: 1 },
  { kind: "c:m4", word: "m4", cseq: 2 },
  { kind: "c:r1", word: "r1", cseq: 1 },
  { kind: "s:r2", status: 200, word: "r1", cseq: 1 },
  { kind: "s:unknown", status: 481, word: "r1", cseq: 1 },
];

/** What the client's requests on one line have in common. */
export interface ClientHead {
  uid: Uid;
  /** 32 hex, the line's. */
  callId: string;
  /** 16 hex, of From. */
  tag: string;
}

type RequestKind = Extract<ClearKind, `c:${string}`>;
type AnswerKind = Extract<ClearKind, `s:${string}`>;

/** What a client sent, and what it is. @throws {ProtocolError} `bad-sip`, `out-of-order` (also for an answer) */
export function readRequest(body: Uint8Array): { kind: RequestKind; message: SipRequest } {
  const message = parseSip(body);
  const { kind } = formOf(message);
  if (message.type === "request") return { kind: kind as RequestKind, message };
  throw new ProtocolError("out-of-order", `${kind} came from a client`);
}

/** What the server sent to this client. @throws {ProtocolError} `bad-sip`, `out-of-order` (also for a request) */
export function readAnswer(body: Uint8Array, head: ClientHead): { kind: AnswerKind; message: SipResponse } {
  const message = parseSip(body);
  const { kind } = formOf(message);
  if (message.type === "request") throw new ProtocolError("out-of-order", `${kind} came from the server`);
  // Answers match by Call-ID and CSeq, which `formOf` has read as 1; From stays mine.
  if (message.callId !== head.callId || message.from.party !== head.uid) {
    throw new ProtocolError("bad-sip", `${kind} came to a request that is not mine`);
  }
  return { kind: kind as AnswerKind, message };
}

/** What a new line asks for, from its first frame. @throws {ProtocolError} `bad-sip`, `out-of-order` */
export function openingOf(body: Uint8Array): "m1" | "r1" {
  const { kind } = readRequest(body);
  if (kind === "c:m4") throw new ProtocolError("out-of-order", "a line began with c:m4, expected c:m1, c:r1");
  return kind === "c:m1" ? "m1" : "r1";
}

function formOf(message: SipMessage): Form {
  const status = message.type === "response" ? message.status : undefined;
  const form = FORMS.find((form) => form.status === status && form.word === message.feldfon);
  if (!form || message.cseq.method !== "REGISTER") {
    throw new ProtocolError("out-of-order", "a message in clear came that is no part of a handshake");
  }
  const headHolds =
    message.from.party !== "server" &&
    message.to.party === "server" &&
    message.cseq.number === form.cseq &&
    (message.type === "response" ||
      (message.uri === "server" && (message.authorization === true) === (form.kind === "c:m4")));
  if (!headHolds) throw new ProtocolError("bad-sip", `${form.kind} came with another head than it has to have`);
  return form;
}

/** M1, M4 or R1 with its head. @returns a whole frame body */
export function clearRequest(kind: RequestKind, head: ClientHead, body: Buffer, random?: Random): Buffer {
  const form = FORMS.find((form) => form.kind === kind)!;
  return encodeSip({
    type: "request",
    method: "REGISTER",
    uri: "server",
    branch: hex(8, random),
    from: { party: head.uid, tag: head.tag },
    to: { party: "server" },
    callId: head.callId,
    cseq: { number: form.cseq, method: "REGISTER" },
    ...(kind === "c:m4" && { authorization: true }),
    feldfon: form.word,
    body,
  });
}

/** Copies Via, From, To, Call-ID and CSeq from its request and adds To's tag (RFC 3261 §8.2.6.2). */
export function clearAnswer(
  request: SipRequest,
  status: 200 | 400 | 401 | 481 | 503,
  body: Buffer,
  { random, retryAfterS }: { random?: Random | undefined; retryAfterS?: number } = {},
): Buffer {
  const form = FORMS.find((form) => form.status === status)!;
  return encodeSip({
    type: "response",
    status,
    branch: request.branch,
    from: request.from,
    to: { party: request.to.party, tag: hex(8, random) },
    callId: request.callId,
    cseq: request.cseq,
    ...(status === 401 && { wwwAuthenticate: true }),
    ...(retryAfterS !== undefined && { retryAfterS }),
    feldfon: form.word,
    body,
  });
}

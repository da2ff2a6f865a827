/**
 * SIP messages: what a frame's body is (RFC 3261 §7; the forms of wire.md 2 and 3, and nothing else).
 *
 *     MESSAGE sip:server@feldfon SIP/2.0                          or  SIP/2.0 200 OK
 *     Via: SIP/2.0/TCP feldfon;branch=z9hG4bK<16 hex>
 *     Max-Forwards: 70                                            requests
 *     From: <sip:<server or uid>@feldfon>;tag=<16 hex>
 *     To: <sip:<server or uid>@feldfon>                           answers but 100: ;tag=<16 hex>
 *     Call-ID: <32 hex>
 *     CSeq: 7 MESSAGE
 *     WWW-Authenticate: Feldfon realm="feldfon"                   401
 *     Authorization: Feldfon realm="feldfon"                      REGISTER, when it is M4
 *     Retry-After: 5                                              503, when the server knows
 *     Feldfon: ping                                               every message not of a call
 *     Content-Type: application/octet-stream                      unless the body is empty
 *     Content-Length: 0
 *
 * One table reads and writes the headers, so there is exactly one way to write a message: `encodeSip(parseSip(bytes))`
 * gives the same bytes. Headers are taken in the table's order and never looked up by a name that came in.
 */
import { namingBytes } from "./bytes.ts";
import { ProtocolError } from "./errors.ts";
import type { Uid } from "./identity.ts";

export const MAX_HEAD_BYTES = 4096;

export const METHODS = ["REGISTER", "MESSAGE", "INVITE", "ACK", "BYE", "CANCEL", "INFO"] as const;
export type Method = (typeof METHODS)[number];

/** The one phrase of each status we speak (RFC 3261 §21). */
export const REASONS: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  482: "Loop Detected",
  486: "Busy Here",
  487: "Request Terminated",
  503: "Service Unavailable",
  603: "Decline",
};

/** Who a line or a call leads to. */
export type Party = "server" | Uid;

interface SipHead {
  /** 16 hex digits, without RFC 3261's `z9hG4bK`. */
  branch: string;
  from: { party: Party; tag: string };
  /** The tag stands in answers other than 100. */
  to: { party: Party; tag?: string };
  /** 32 hex digits: the line's, in a call the call's. */
  callId: string;
  /** 1 .. 2^31 - 1 (RFC 3261 §8.1.1.5) and the method that is sent or answered. */
  cseq: { number: number; method: Method };
  /** What the message is, or why it is refused; none in a call. 1..32 of a-z 0-9 and hyphen. */
  feldfon?: string;
  /** Only in a 503. Up to 99,999 seconds. */
  retryAfterS?: number;
  /** A view of the bytes that were parsed, no copy. */
  body: Buffer;
}

export interface SipRequest extends SipHead {
  type: "request";
  method: Method;
  uri: Party;
  /** Only in REGISTER. */
  authorization?: true;
}

export interface SipResponse extends SipHead {
  type: "response";
  status: number;
  /** In every 401, and only there. */
  wwwAuthenticate?: true;
}

export type SipMessage = SipRequest | SipResponse;

/** A message while its lines are read or written. */
type Draft = Partial<Omit<SipRequest, "type"> & Omit<SipResponse, "type">>;

interface Header {
  readonly name: string;
  /** Whether this header has to stand in the message, may, or must not. */
  readonly wanted: (draft: Draft) => "must" | "may" | "never";
  readonly form: RegExp;
  /** Takes what `form` found. @returns false when a form that is right holds a value that is not */
  readonly read: (draft: Draft, groups: string[]) => boolean;
  /** @returns undefined when the message has no such header */
  readonly write: (draft: Draft) => string | undefined;
}

const CHALLENGE = 'Feldfon realm="feldfon"';
const CONTENT_TYPE = "application/octet-stream";
const MAX_CSEQ = 2 ** 31 - 1;
const METHOD = METHODS.join("|");
const REQUEST_LINE = new RegExp(`^(${METHOD}) sip:(server|[0-9a-f]{64})@feldfon SIP/2\\.0$`);
const STATUS_LINE = /^SIP\/2\.0 ([1-6][0-9]{2}) ([A-Za-z/ ]{2,40})$/;
const FROM = /^<sip:(server|[0-9a-f]{64})@feldfon>;tag=([0-9a-f]{16})$/;
const TO = /^<sip:(server|[0-9a-f]{64})@feldfon>(?:;tag=([0-9a-f]{16}))?$/;
const CSEQ = new RegExp(`^([1-9][0-9]{0,9}) (${METHOD})$`);

const always = () => "must" as const;

const HEADERS: readonly Header[] = [
  {
    name: "Via",
    wanted: always,
    form: /^SIP\/2\.0\/TCP feldfon;branch=z9hG4bK([0-9a-f]{16})$/,
    read: (draft, [branch]) => {
      draft.branch = branch!;
      return true;
    },
    write: ({ branch }) => `SIP/2.0/TCP feldfon;branch=z9hG4bK${branch}`,
  },
  {
    name: "Max-Forwards",
    wanted: ({ method }) => (method ? "must" : "never"),
    form: /^70$/,
    read: () => true,
    write: ({ method }) => (method ? "70" : undefined),
  },
  {
    name: "From",
    wanted: always,
    form: FROM,
    read: (draft, [party, tag]) => {
      draft.from = { party: party as Party, tag: tag! };
      return true;
    },
    write: ({ from }) => `<sip:${from!.party}@feldfon>;tag=${from!.tag}`,
  },
  {
    name: "To",
    wanted: always,
    form: TO,
    read: (draft, [party, tag]) => {
      draft.to = tag === undefined ? { party: party as Party } : { party: party as Party, tag };
      const tagWanted = draft.status !== undefined && draft.status !== 100;
      return (tag !== undefined) === tagWanted;
    },
    write: ({ to }) => `<sip:${to!.party}@feldfon>${to!.tag === undefined ? "" : `;tag=${to!.tag}`}`,
  },
  {
    name: "Call-ID",
    wanted: always,
    form: /^([0-9a-f]{32})$/,
    read: (draft, [callId]) => {
      draft.callId = callId!;
      return true;
    },
    write: ({ callId }) => callId,
  },
  {
    name: "CSeq",
    wanted: always,
    form: CSEQ,
    read: (draft, [digits, method]) => {
      draft.cseq = { number: Number(digits), method: method as Method };
      return draft.cseq.number <= MAX_CSEQ && (draft.method === undefined || draft.method === method);
    },
    write: ({ cseq }) => `${cseq!.number} ${cseq!.method}`,
  },
  {
    name: "WWW-Authenticate",
    wanted: ({ status }) => (status === 401 ? "must" : "never"),
    form: /^Feldfon realm="feldfon"$/,
    read: (draft) => {
      draft.wwwAuthenticate = true;
      return true;
    },
    write: ({ wwwAuthenticate }) => (wwwAuthenticate ? CHALLENGE : undefined),
  },
  {
    name: "Authorization",
    wanted: ({ method }) => (method === "REGISTER" ? "may" : "never"),
    form: /^Feldfon realm="feldfon"$/,
    read: (draft) => {
      draft.authorization = true;
      return true;
    },
    write: ({ authorization }) => (authorization ? CHALLENGE : undefined),
  },
  {
    name: "Retry-After",
    wanted: ({ status }) => (status === 503 ? "may" : "never"),
    form: /^(0|[1-9][0-9]{0,4})$/,
    read: (draft, [seconds]) => {
      draft.retryAfterS = Number(seconds);
      return true;
    },
    write: ({ retryAfterS }) => (retryAfterS === undefined ? undefined : String(retryAfterS)),
  },
  {
    name: "Feldfon",
    wanted: () => "may",
    form: /^([a-z0-9-]{1,32})$/,
    read: (draft, [word]) => {
      draft.feldfon = word!;
      return true;
    },
    write: ({ feldfon }) => feldfon,
  },
  {
    name: "Content-Type",
    wanted: ({ body }) => (body!.length > 0 ? "must" : "never"),
    form: /^application\/octet-stream$/,
    read: () => true,
    write: ({ body }) => (body!.length > 0 ? CONTENT_TYPE : undefined),
  },
  {
    name: "Content-Length",
    wanted: always,
    form: /^(0|[1-9][0-9]{0,7})$/,
    read: ({ body }, [bytes]) => Number(bytes) === body!.length,
    write: ({ body }) => String(body!.length),
  },
];

/** Reads one frame body. @throws {ProtocolError} `bad-sip`, whatever bytes come in */
export function parseSip(bytes: Uint8Array): SipMessage {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const headEnd = all.subarray(0, MAX_HEAD_BYTES).indexOf("\r\n\r\n", 0, "latin1");
  if (headEnd < 0) {
    throw badSip(`no empty line came within ${MAX_HEAD_BYTES} bytes, one was expected behind the headers`);
  }
  const lines = all.toString("latin1", 0, headEnd).split("\r\n");
  const draft = readStartLine(lines[0]!);
  draft.body = all.subarray(headEnd + 4);

  let at = 1;
  for (const header of HEADERS) {
    const wanted = header.wanted(draft);
    if (wanted === "never") continue;
    const line = lines[at];
    if (!line?.startsWith(`${header.name}: `)) {
      if (wanted === "may") continue;
      throw badSip(`line ${at + 1} is ${nameOf(line)}, ${header.name} was expected`);
    }
    readValue(header, draft, line.slice(header.name.length + 2));
    at++;
  }
  if (at < lines.length) throw badSip(`line ${at + 1} is ${nameOf(lines[at])}, it does not belong there`);
  return (draft.method ? { type: "request", ...draft } : { type: "response", ...draft }) as SipMessage;
}

/** @throws {ProtocolError} `bad-sip` on a message that `parseSip` would not give back as it is */
export function encodeSip(message: SipMessage): Buffer {
  const lines = [startLine(message)];
  const draft: Draft = message;
  // Read back into a scratch message: a value is judged where it is written by the rule that will judge it when read.
  const scratch: Draft = readStartLine(lines[0]!);
  scratch.body = message.body;
  for (const header of HEADERS) {
    const wanted = header.wanted(scratch);
    const value = header.write(draft);
    if (value === undefined) {
      if (wanted === "must") throw badSip(`${header.name} is missing and was expected`);
      continue;
    }
    if (wanted === "never") throw badSip(`${header.name} came and does not belong into this message`);
    readValue(header, scratch, value);
    lines.push(`${header.name}: ${value}`);
  }
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), message.body]);
}

/** Fresh material for branches and tags (8 bytes) and Call-IDs (16 bytes). @returns two digits a byte */
export function hex(bytes: number, random: (bytes: number) => Buffer = namingBytes): string {
  return random(bytes).toString("hex");
}

function startLine(message: SipMessage): string {
  return message.type === "request"
    ? `${message.method} sip:${message.uri}@feldfon SIP/2.0`
    : `SIP/2.0 ${message.status} ${REASONS[message.status]}`;
}

function readStartLine(line: string): Draft {
  const request = REQUEST_LINE.exec(line);
  if (request) return { method: request[1] as Method, uri: request[2] as Party };
  const answer = STATUS_LINE.exec(line);
  if (answer && REASONS[Number(answer[1])] === answer[2]) return { status: Number(answer[1]) };
  throw badSip("the first line is neither a request nor a status line that this protocol knows");
}

function readValue(header: Header, draft: Draft, value: string): void {
  const found = header.form.exec(value);
  if (!found) throw badSip(`${header.name} came with a value of ${value.length} characters in another form`);
  if (!header.read(draft, found.slice(1)))
    throw badSip(`${header.name} came with a value that contradicts the message`);
}

/** For the sentence in an error: a header's name as we know it, never what came instead. */
function nameOf(line: string | undefined): string {
  if (line === undefined) return "the empty line";
  return HEADERS.find(({ name }) => line.startsWith(`${name}: `))?.name ?? "something else";
}

function badSip(sentence: string): ProtocolError {
  return new ProtocolError("bad-sip", sentence);
}

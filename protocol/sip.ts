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
import { publicBytes, viewOf } from "./bytes.ts";
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
  /** Of a long message that is only sent, instead of its body: the pieces it is made of. */
  pieces?: readonly Uint8Array[];
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
type Draft = { type: SipMessage["type"] } & Partial<Omit<SipRequest, "type"> & Omit<SipResponse, "type">>;

interface Header {
  /** With its colon and space. */
  readonly label: string;
  /** Whether this header has to stand in the message, may, or must not. */
  readonly wanted: (draft: Draft) => "must" | "may" | "never";
  /** Takes the value. @returns false for another form, and for a value that contradicts the message */
  readonly read: (draft: Draft, head: HeadReader) => boolean;
  /**
   * Writes the value. `draft` is what is written of the message already, for contradictions.
   *
   * @returns false for a value that `read` would not take, undefined when the message has no such header
   */
  readonly write: (message: Draft, head: HeadWriter, draft: Draft) => boolean | undefined;
}

const LINE_END = "\r\n";
const HEAD_END = LINE_END + LINE_END;
const NO_START_LINE = "the first line is neither a request nor a status line that this protocol knows";
const CHALLENGE = 'Feldfon realm="feldfon"';
const CONTENT_TYPE = "application/octet-stream";
const MAX_CSEQ = 2 ** 31 - 1;

const always = () => "must" as const;

const HEADERS: readonly Header[] = [
  {
    label: "Via: ",
    wanted: always,
    read: (draft, head) => {
      const branch = head.take("SIP/2.0/TCP feldfon;branch=z9hG4bK") && head.hex(16);
      if (!branch) return false;
      draft.branch = branch;
      return true;
    },
    write: ({ branch }, head) => head.put("SIP/2.0/TCP feldfon;branch=z9hG4bK") && head.hex(branch, 16),
  },
  {
    label: "Max-Forwards: ",
    wanted: ({ method }) => (method ? "must" : "never"),
    read: (_, head) => head.take("70"),
    write: ({ method }, head) => (method ? head.put("70") : undefined),
  },
  {
    label: "From: ",
    wanted: always,
    read: (draft, head) => {
      const party = head.take("<") && head.party();
      const tag = head.take(">;tag=") && head.hex(16);
      if (!party || !tag) return false;
      draft.from = { party, tag };
      return true;
    },
    write: ({ from }, head) =>
      head.put("<") && head.party(from?.party) && head.put(">;tag=") && head.hex(from?.tag, 16),
  },
  {
    label: "To: ",
    wanted: always,
    read: (draft, head) => {
      const party = head.take("<") && head.party();
      if (!party || !head.take(">")) return false;
      draft.to = { party };
      if (!tagsTo(draft)) return true;
      const tag = head.take(";tag=") && head.hex(16);
      if (!tag) return false;
      draft.to.tag = tag;
      return true;
    },
    write: ({ to }, head, draft) => {
      if (!head.put("<") || !head.party(to?.party) || !head.put(">")) return false;
      return tagsTo(draft) ? head.put(";tag=") && head.hex(to?.tag, 16) : to?.tag === undefined;
    },
  },
  {
    label: "Call-ID: ",
    wanted: always,
    read: (draft, head) => {
      const callId = head.hex(32);
      if (!callId) return false;
      draft.callId = callId;
      return true;
    },
    write: ({ callId }, head) => head.hex(callId, 32),
  },
  {
    label: "CSeq: ",
    wanted: always,
    read: (draft, head) => {
      const number = head.number(10);
      const method = head.take(" ") && head.method();
      if (!number || !method) return false;
      draft.cseq = { number, method };
      return fitsCSeq(draft, draft.cseq);
    },
    write: ({ cseq }, head, draft) =>
      cseq !== undefined &&
      fitsCSeq(draft, cseq) &&
      head.number(cseq.number, 10) &&
      head.put(" ") &&
      head.method(cseq.method),
  },
  {
    label: "WWW-Authenticate: ",
    wanted: ({ status }) => (status === 401 ? "must" : "never"),
    read: (draft, head) => {
      draft.wwwAuthenticate = true;
      return head.take(CHALLENGE);
    },
    write: ({ wwwAuthenticate }, head) => (wwwAuthenticate ? head.put(CHALLENGE) : undefined),
  },
  {
    label: "Authorization: ",
    wanted: ({ method }) => (method === "REGISTER" ? "may" : "never"),
    read: (draft, head) => {
      draft.authorization = true;
      return head.take(CHALLENGE);
    },
    write: ({ authorization }, head) => (authorization ? head.put(CHALLENGE) : undefined),
  },
  {
    label: "Retry-After: ",
    wanted: ({ status }) => (status === 503 ? "may" : "never"),
    read: (draft, head) => {
      const seconds = head.number(5);
      if (seconds === undefined) return false;
      draft.retryAfterS = seconds;
      return true;
    },
    write: ({ retryAfterS }, head) => (retryAfterS === undefined ? undefined : head.number(retryAfterS, 5)),
  },
  {
    label: "Feldfon: ",
    wanted: () => "may",
    read: (draft, head) => {
      const word = head.word(32);
      if (!word) return false;
      draft.feldfon = word;
      return true;
    },
    write: ({ feldfon }, head) => (feldfon === undefined ? undefined : head.word(feldfon, 32)),
  },
  {
    label: "Content-Type: ",
    wanted: (draft) => (bodyBytes(draft) > 0 ? "must" : "never"),
    read: (_, head) => head.take(CONTENT_TYPE),
    write: (message, head) => (bodyBytes(message) > 0 ? head.put(CONTENT_TYPE) : undefined),
  },
  {
    label: "Content-Length: ",
    wanted: always,
    read: (draft, head) => head.number(8) === bodyBytes(draft),
    write: (message, head) => head.number(bodyBytes(message), 8),
  },
];

/** The tag stands in answers other than 100, and only there. */
function tagsTo({ status }: Draft): boolean {
  return status !== undefined && status !== 100;
}

function fitsCSeq(draft: Draft, { number, method }: SipHead["cseq"]): boolean {
  return number >= 1 && number <= MAX_CSEQ && (draft.method === undefined || draft.method === method);
}

const HEX = /^[0-9a-f]*$/;
const WORD = /^[a-z0-9-]+$/;

/**
 * Walks through a head. There is one way to write each thing, so it is told what to expect, and answers `false` or
 * `undefined` where something else stands. No captures of regular expressions: they were most of the server's garbage.
 */
class HeadReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at === this.#text.length;
  }

  /** The line that is being read, from 1. */
  get line(): number {
    return this.#text.slice(0, this.#at).split(LINE_END).length;
  }

  take(literal: string): boolean {
    if (!this.#text.startsWith(literal, this.#at)) return false;
    this.#at += literal.length;
    return true;
  }

  /** Exactly so many digits 0-9 a-f. */
  hex(digits: number): string | undefined {
    const cut = this.#text.slice(this.#at, this.#at + digits);
    if (cut.length < digits || !HEX.test(cut)) return undefined;
    this.#at += digits;
    return cut;
  }

  /** At most so many digits, without a zero in front. */
  number(mostDigits: number): number | undefined {
    const digits = this.#run(isDigit, mostDigits);
    const zeroInFront = digits > 1 && this.#text[this.#at] === "0";
    return digits === 0 || zeroInFront ? undefined : Number(this.#cut(digits));
  }

  /** 1 or more of a-z 0-9 and hyphen. */
  word(mostLetters: number): string | undefined {
    const letters = this.#run(isWordLetter, mostLetters);
    return letters === 0 ? undefined : this.#cut(letters);
  }

  method(): Method | undefined {
    for (const method of METHODS) if (this.take(method)) return method;
    return undefined;
  }

  /** sip:server@feldfon, sip:<uid>@feldfon */
  party(): Party | undefined {
    if (!this.take("sip:")) return undefined;
    const party = this.take("server") ? "server" : this.hex(64);
    return this.take("@feldfon") ? (party as Party | undefined) : undefined;
  }

  /** How many characters of a kind come now, as far as anybody wants to know. */
  #run(isOfKind: (code: number) => boolean, most: number): number {
    let length = 0;
    while (length < most && isOfKind(this.#text.charCodeAt(this.#at + length))) length++;
    return length;
  }

  #cut(length: number): string {
    const from = this.#at;
    this.#at += length;
    return this.#text.slice(from, this.#at);
  }
}

/**
 * Writes a head. Each value is judged by the rule that will judge it when it is read: the methods mirror `HeadReader`'s
 * and answer `false` to what that would not take.
 */
class HeadWriter {
  text = "";

  put(literal: string): true {
    this.text += literal;
    return true;
  }

  /** Exactly so many digits 0-9 a-f. */
  hex(value: string | undefined, digits: number): boolean {
    return value?.length === digits && HEX.test(value) && this.put(value);
  }

  /** At most so many digits. */
  number(value: number, mostDigits: number): boolean {
    return Number.isInteger(value) && value >= 0 && value < 10 ** mostDigits && this.put(String(value));
  }

  word(value: string, mostLetters: number): boolean {
    return value.length <= mostLetters && WORD.test(value) && this.put(value);
  }

  method(value: Method): boolean {
    return METHODS.includes(value) && this.put(value);
  }

  /** sip:server@feldfon, sip:<uid>@feldfon */
  party(value: Party | undefined): boolean {
    return this.put("sip:") && (value === "server" ? this.put(value) : this.hex(value, 64)) && this.put("@feldfon");
  }
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;
const isWordLetter = (code: number): boolean => isDigit(code) || (code >= 0x61 && code <= 0x7a) || code === 0x2d;

/** Reads one frame body. @throws {ProtocolError} `bad-sip`, whatever bytes come in */
export function parseSip(bytes: Uint8Array): SipMessage {
  const all = viewOf(bytes);
  const headEnd = all.subarray(0, MAX_HEAD_BYTES).indexOf(HEAD_END, 0, "latin1");
  if (headEnd < 0) {
    throw badSip(`no empty line came within ${MAX_HEAD_BYTES} bytes, one was expected behind the headers`);
  }
  const text = all.toString("latin1", 0, headEnd + LINE_END.length);
  const head = new HeadReader(text);
  const draft = readStartLine(head);
  if (!draft || !head.take(LINE_END)) throw badSip(NO_START_LINE);
  draft.body = all.subarray(headEnd + HEAD_END.length);
  for (const header of HEADERS) {
    const wanted = header.wanted(draft);
    if (wanted === "never") continue;
    if (!head.take(header.label)) {
      if (wanted === "may") continue;
      throw badSip(`line ${head.line} is ${nameOf(text, head.line)}, ${nameIn(header)} was expected`);
    }
    if (!header.read(draft, head) || !head.take(LINE_END)) throw badSip(badValue(header));
  }
  if (!head.done) throw badSip(`line ${head.line} is ${nameOf(text, head.line)}, it does not belong there`);
  return draft as SipMessage;
}

/** Of a message that came, or that is about to be sent. */
export function bodyBytes({ body, pieces }: Pick<Draft, "body" | "pieces">): number {
  return pieces ? pieces.reduce((bytes, piece) => bytes + piece.length, 0) : body!.length;
}

/** @throws {ProtocolError} `bad-sip` on a message that `parseSip` would not give back as it is */
export function encodeSip(message: SipMessage): Buffer {
  const { bytes, write } = sipWriter(message);
  const whole = Buffer.allocUnsafe(bytes);
  write(whole);
  return whole;
}

/** `encodeSip` for those who have a place for it. @returns how many bytes it takes, and how to write them there */
export function sipWriter(message: SipMessage): { bytes: number; write(place: Buffer): void } {
  const head = headOf(message);
  const write = (place: Buffer) => {
    let at = place.write(head, "latin1");
    for (const piece of message.pieces ?? [message.body]) {
      place.set(piece, at);
      at += piece.length;
    }
  };
  return { bytes: head.length + bodyBytes(message), write };
}

function headOf(message: SipMessage): string {
  const head = new HeadWriter();
  const draft = writeStartLine(message, head);
  if (!draft) throw badSip(NO_START_LINE);
  draft.body = message.body;
  if (message.pieces) draft.pieces = message.pieces;
  for (const header of HEADERS) {
    const wanted = header.wanted(draft);
    const before = head.text;
    head.put(LINE_END);
    head.put(header.label);
    const written = header.write(message, head, draft);
    if (written === false) throw badSip(badValue(header));
    if (written === undefined) {
      if (wanted === "must") throw badSip(`${nameIn(header)} is missing and was expected`);
      head.text = before;
    } else if (wanted === "never") {
      throw badSip(`${nameIn(header)} came and does not belong into this message`);
    }
  }
  return head.text + HEAD_END;
}

/** Fresh material for branches and tags (8 bytes) and Call-IDs (16 bytes). @returns two digits a byte */
export function hex(bytes: number, random: (bytes: number) => Buffer = publicBytes): string {
  return random(bytes).toString("hex");
}

/** @returns what the start line says of the message, undefined for one that would not be read */
function writeStartLine(message: SipMessage, head: HeadWriter): Draft | undefined {
  if (message.type === "request") {
    const { method, uri } = message;
    const written = head.method(method) && head.put(" ") && head.party(uri) && head.put(" SIP/2.0");
    return written ? { type: "request", method, uri } : undefined;
  }
  const { status } = message;
  const reason = Object.hasOwn(REASONS, status) ? REASONS[status] : undefined;
  return reason && head.put(`SIP/2.0 ${status} ${reason}`) ? { type: "response", status } : undefined;
}

function readStartLine(head: HeadReader): Draft | undefined {
  if (head.take("SIP/2.0 ")) {
    const status = head.number(3);
    const reason = REASONS[status ?? 0];
    return reason && head.take(" ") && head.take(reason) ? { type: "response", status: status! } : undefined;
  }
  const method = head.method();
  const uri = method && head.take(" ") && head.party();
  return uri && head.take(" SIP/2.0") ? { type: "request", method, uri } : undefined;
}

function nameIn({ label }: Header): string {
  return label.slice(0, -": ".length);
}

function badValue(header: Header): string {
  return `${nameIn(header)} came in another form, or with a value that contradicts the message`;
}

/** For the sentence in an error: a header's name as we know it, never what came instead. @param line from 1 */
function nameOf(text: string, line: number): string {
  const came = text.split(LINE_END)[line - 1];
  if (!came) return "the empty line";
  const header = HEADERS.find(({ label }) => came.startsWith(label));
  return header ? nameIn(header) : "something else";
}

function badSip(sentence: string): ProtocolError {
  return new ProtocolError("bad-sip", sentence);
}

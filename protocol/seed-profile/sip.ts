/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * The origin's looser SIP with JSON or text bodies (seed 003: build_sip_request, build_sip_message, parse_sip_message):
 *
 *     MESSAGE sip:server SIP/2.0
 *     From: <sip:alice@127.0.0.1>
 *     To: <sip:server>
 *     Content-Type: text/plain             lines `KEY: value`; application/json when a value is a list, an object or
 *     Content-Length: 10                   more than one line
 *
 *     PING: true
 *
 * Lengths are bytes (the origin counted characters), a 200 is a status line (it stood in the method's place, which is
 * still read), and no value can end its line. Reading never throws: what came is a typed outcome.
 */
import { randomInt, randomUUID } from "node:crypto";
import { ProtocolError } from "../errors.ts";

export type SeedMethod = "REGISTER" | "MESSAGE" | "INVITE" | "GET";
export type Sender = { server: string } | { name: string; ip: string };

/** What a message says, by key. */
export type Data = Readonly<Record<string, unknown>>;

export interface Content {
  /** By name in capitals. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The body's values: with their types from JSON, as text from lines; none when it is neither. */
  readonly data: ReadonlyMap<string, unknown>;
}

export type Parsed =
  | ({ readonly kind: "request"; readonly method: string; readonly recipient: string } & Content)
  | ({ readonly kind: "answer"; readonly status: number; readonly reason: string } & Content)
  | { readonly kind: "empty" }
  | { readonly kind: "bad"; readonly why: string };

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  401: "Unauthorized",
  486: "Busy Here",
  500: "Server Internal Error",
  603: "Decline",
};
/** Port numbers that systems hand out for a while. */
const EPHEMERAL_PORTS = { from: 32_768, to: 60_999 };

/** A full request without a body for real SIP peers; nothing in the conversations uses it. @throws {ProtocolError} `bad-sip` */
export function buildSipRequest(
  method: SeedMethod | "OPTIONS",
  recipient: string,
  client: { name: string; ip: string },
  server: { ip: string; port: number },
): Buffer {
  const port = randomInt(EPHEMERAL_PORTS.from, EPHEMERAL_PORTS.to + 1);
  const own = `${word(client.name)}@${host(client.ip)}`;
  const there = `${host(server.ip)}:${server.port}`;
  const lines = [
    `${method} sip:${word(recipient)}@${there} SIP/2.0`,
    `Via: SIP/2.0/UDP ${host(client.ip)}:${port};rport;branch=z9hG4bK${randomUUID()}`,
    "Max-Forwards: 70",
    `From: <sip:${own}>;tag=${randomUUID()}`,
    `To: <sip:${word(recipient)}@${there}>`,
    `Call-ID: ${randomUUID()}@${host(server.ip)}`,
    `CSeq: 1 ${method}`,
    `Contact: <sip:${own}:${port}>`,
    "Content-Length: 0",
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
}

/**
 * @param content values by key, or the bare PEM key of a REGISTER
 * @param form "json" where the receiver expects an object whatever the values
 * @throws {ProtocolError} `bad-sip`
 */
export function buildSipMessage(
  method: SeedMethod,
  recipient: string,
  content: Data | string,
  sender: Sender,
  form: "chosen" | "json" = "chosen",
): Buffer {
  return written(`${method} sip:${word(recipient)} SIP/2.0`, recipient, content, sender, form);
}

/** @param status 200, 401, 486, 500 or 603. @throws {ProtocolError} `bad-sip` */
export function buildSipAnswer(status: number, recipient: string, content: Data, sender: Sender): Buffer {
  const reason = REASONS[status];
  if (reason === undefined) throw badSip("a status that the seed does not use");
  return written(`SIP/2.0 ${status} ${reason}`, recipient, content, sender);
}

/** Reads whatever came, bytes or text, and never throws. */
export function parseSipMessage(message: Uint8Array | string | undefined): Parsed {
  const bytes = Buffer.from(message ?? "");
  if (bytes.length === 0) return { kind: "empty" };
  const { head, body } = splitAtEmptyLine(bytes);
  const lines = utf8(head)?.split(/\r?\n/);
  if (!lines) return { kind: "bad", why: "the head is not UTF-8" };

  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const [, name, value] = /^([!-9;-~]+)[ \t]*:[ \t]*(.*)$/s.exec(line) ?? [];
    if (name === undefined) return { kind: "bad", why: "a line that is no header" };
    if (headers.has(name.toUpperCase())) return { kind: "bad", why: "a header twice" };
    headers.set(name.toUpperCase(), value!.trimEnd());
  }
  const length = headers.get("CONTENT-LENGTH");
  if (length !== undefined && length !== String(body.length)) {
    return { kind: "bad", why: `Content-Length is not the ${body.length} bytes of the body` };
  }

  const content: Content = { headers, body, data: readData(body) };
  const request = /^([A-Z]+) sip:(\S+) SIP\/2\.0$/.exec(lines[0]!);
  if (request) return { kind: "request", method: request[1]!, recipient: request[2]!, ...content };
  const answer =
    /^SIP\/2\.0 ([1-6]\d\d) ?(.*)$/.exec(lines[0]!) ?? /^([1-6]\d\d) (.*) sip:\S+ SIP\/2\.0$/.exec(lines[0]!);
  if (answer) return { kind: "answer", status: Number(answer[1]), reason: answer[2]!, ...content };
  return { kind: "bad", why: "the first line is neither a request nor a status" };
}

/** Values of a body: one JSON object, else lines `KEY: value`; empty when it is neither. */
export function readData(body: Uint8Array | string): ReadonlyMap<string, unknown> {
  const text = utf8(Buffer.from(body));
  if (text === undefined) return new Map();
  try {
    const value: unknown = JSON.parse(text);
    return new Map(value !== null && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : []);
  } catch {
    const pairs = text.split(/\r?\n/).map((line) => /^([^:]+): (.*)$/s.exec(line));
    return new Map(pairs.flatMap((pair) => (pair ? [[pair[1]!, pair[2]!]] : [])));
  }
}

/** Name and address of who sent it (the origin's server knows its clients by this). */
export function senderOf({ headers }: Content): { name: string; host: string } | undefined {
  const [, name, host] = /^<sip:([^@>]+)@([^>]+)>/.exec(headers.get("FROM") ?? "") ?? [];
  return name === undefined || host === undefined ? undefined : { name, host };
}

function written(
  startLine: string,
  recipient: string,
  content: Data | string,
  sender: Sender,
  form = "chosen",
): Buffer {
  const from = "server" in sender ? `server@${host(sender.server)}` : `${word(sender.name)}@${host(sender.ip)}`;
  const { type, text } = bodyOf(content, form);
  const body = Buffer.from(text);
  const lines = [
    startLine,
    `From: <sip:${from}>`,
    `To: <sip:${word(recipient)}>`,
    `Content-Type: ${type}`,
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), body]);
}

function bodyOf(content: Data | string, form: string): { type: string; text: string } {
  if (typeof content === "string") return { type: "text/plain", text: content };
  const pairs = Object.entries(content);
  for (const [key] of pairs) if (!/^[A-Za-z0-9_]+$/.test(key)) throw badSip("a key that is not letters, digits and _");
  const oneLine = (value: unknown) =>
    typeof value === "number" || typeof value === "boolean" || (typeof value === "string" && !/[\r\n]/.test(value));
  if (form === "chosen" && pairs.every(([, value]) => oneLine(value))) {
    return { type: "text/plain", text: pairs.map(([key, value]) => `${key}: ${value}`).join("\r\n") };
  }
  return { type: "application/json", text: JSON.stringify(content) };
}

function splitAtEmptyLine(bytes: Buffer): { head: Buffer; body: Buffer } {
  const ends = ["\r\n\r\n", "\n\n"]
    .map((end) => ({ at: bytes.indexOf(end), bytes: end.length }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at);
  const end = ends[0] ?? { at: bytes.length, bytes: 0 };
  return { head: bytes.subarray(0, end.at), body: bytes.subarray(end.at + end.bytes) };
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** A name inside an address: nothing that could end it, or its line. */
function word(text: string): string {
  if (!/^[^\s\p{C}<>"';:,@?/\\]{1,64}$/u.test(text)) throw badSip("a name that cannot stand in an address");
  return text;
}

function host(text: string): string {
  if (!/^[0-9A-Za-z.:[\]-]{1,255}$/.test(text)) throw badSip("a host that cannot stand in an address");
  return text;
}

function badSip(sentence: string): ProtocolError {
  return new ProtocolError("bad-sip", sentence);
}

/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * What the origin's client does with what comes in (seed 003: handle_server_message and the functions behind it), and
 * the two messages of a call between clients:
 *
 *     frame header, if one is there  ->  SIP with JSON or text body  ->  ping, pong, phonebook, any other message
 *                                    ->  JSON alone                  ->  phonebook, else bad
 *                                    ->  512 bytes and AES blocks    ->  phonebook
 */
import type { KeyObject } from "node:crypto";
import { keysHaveRoot, normalizeKey } from "../directory/merkle.ts";
import { ProtocolError } from "../errors.ts";
import { encodeFrame, HEADER_BYTES } from "../frames.ts";
import { type PublicKey, readPublicKey, type Uid } from "../identity.ts";
import { type Secret, unreadable, unwrapSecret, WRAPPED_BYTES, wrapSecret } from "./secret.ts";
import { buildSipMessage, type Content, type Parsed, parseSipMessage, readData, type Sender } from "./sip.ts";

const BLOCK_BYTES = 16;

export type Received =
  | { kind: "ping" }
  | { kind: "pong" }
  /** In its binary form: 512 bytes of RSA, then AES data. */
  | { kind: "phonebook"; encrypted: Buffer }
  | { kind: "message"; message: Extract<Parsed, Content> }
  | { kind: "bad"; why: string };

/** Tells what came, in whichever of the three formats, and never throws (seed 003: handle_server_message). */
export function receiveMessage(raw: Uint8Array): Received {
  const bytes = withoutHeader(Buffer.from(raw));
  const message = parseSipMessage(bytes);
  if (message.kind === "request" || message.kind === "answer") {
    if (message.data.get("PING") !== undefined) return { kind: "ping" };
    if (message.data.get("PONG") !== undefined) return { kind: "pong" };
    return phonebookIn(message.data) ?? { kind: "message", message };
  }
  const inJson = phonebookIn(readData(bytes));
  if (inJson) return inJson;
  if (isEncryptedPhonebook(bytes)) return { kind: "phonebook", encrypted: bytes };
  return { kind: "bad", why: message.kind === "bad" ? message.why : "nothing came" };
}

/** Hands a phonebook in a JSON body on (seed 003: _process_json_body). @returns whether there was one */
export function processJsonBody(body: Uint8Array | string, forward: (encrypted: Buffer) => void): boolean {
  const received = phonebookIn(readData(body));
  if (received?.kind === "phonebook") forward(received.encrypted);
  return received?.kind === "phonebook";
}

/** A PONG with its frame header, which the origin forgot (seed 003: _handle_ping_message). */
export function answerPing(sender: Sender): Buffer {
  return encodeFrame(buildSipMessage("MESSAGE", "server", { PONG: true }, sender));
}

/**
 * Both answers to a REGISTER (seed 003: handle_server_registration_response). The origin compared the root only, which
 * comes from the same sender as the keys; here the server's key is the one pinned, and both keys stand where they must.
 *
 * @returns the client's id. @throws {ProtocolError} `unreadable`, `wrong-server-key`, `wrong-root`, `not-in-list`
 */
export function checkRegistration(first: Content, second: Content, own: PublicKey, pinned: Uid): number {
  const serverKey = first.data.get("SERVER_PUBLIC_KEY");
  const id = first.data.get("CLIENT_ID");
  const root = second.data.get("MERKLE_ROOT");
  const keys: unknown = second.data.get("ALL_KEYS");
  const isText = (value: unknown) => typeof value === "string";
  if (!isText(serverKey) || !isText(root) || !Array.isArray(keys) || !keys.every(isText)) {
    throw unreadable("a registration's answer came without its keys or its root");
  }
  if (!isText(id) || !/^(0|[1-9]\d{0,8})$/.test(id)) throw unreadable("a registration's answer came without an id");
  if (readPublicKey(serverKey).uid !== pinned) {
    throw new ProtocolError("wrong-server-key", "another server key came than the one that is pinned");
  }
  if (!keysHaveRoot(keys, root)) throw new ProtocolError("wrong-root", "the keys do not have the root that came");
  const at = (index: number, key: string) =>
    keys[index] !== undefined && normalizeKey(keys[index]) === normalizeKey(key);
  if (!at(0, serverKey) || !at(Number(id) + 1, own.pem)) {
    throw new ProtocolError("not-in-list", "the server's or the own key is not where it belongs in the list");
  }
  return Number(id);
}

/** A framed INVITE with the call's secret under the callee's key (seed 003: initiate_call). */
export function buildInvite(
  callee: { name: string; key: PublicKey },
  caller: { name: string; ip: string; port: number },
  secret: Secret,
): Buffer {
  const content = {
    ENCRYPTED_SECRET: wrapSecret(secret, callee.key).toString("base64"),
    CALLER_NAME: caller.name,
    CALLER_IP: caller.ip,
    CALLER_PORT: caller.port,
  };
  return encodeFrame(buildSipMessage("INVITE", callee.name, content, caller));
}

/** The caller and the call's secret (seed 003: handle_incoming_call). @throws {ProtocolError} `unreadable` */
export function readInvite(
  message: Content,
  owner: KeyObject,
): { caller: { name: string; ip: string; port: number }; secret: Secret } {
  const text = (key: string) => {
    const value = message.data.get(key);
    if (typeof value !== "string") throw unreadable(`an INVITE came without ${key}`);
    return value;
  };
  const port = Number(text("CALLER_PORT"));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw unreadable("an INVITE came with no port");
  const wrapped = base64(text("ENCRYPTED_SECRET"));
  if (!wrapped) throw unreadable("an INVITE came with a secret that is not base64");
  return { caller: { name: text("CALLER_NAME"), ip: text("CALLER_IP"), port }, secret: unwrapSecret(wrapped, owner) };
}

/** At most 120 messages in any minute, for each peer its own (seed 003: handle_server_message; the origin had one for all). */
export class MessageBudget {
  readonly #per: number;
  readonly #windowMs: number;
  #times: number[] = [];

  constructor(messages = 120, windowMs = 60_000) {
    this.#per = messages;
    this.#windowMs = windowMs;
  }

  /** @returns false when the message is one too many */
  admit(nowMs: number): boolean {
    this.#times = this.#times.filter((time) => nowMs - time < this.#windowMs);
    if (this.#times.length >= this.#per) return false;
    this.#times.push(nowMs);
    return true;
  }
}

/** A frame header is taken off when it counts exactly what follows (seed 003: _process_framed_data). */
function withoutHeader(bytes: Buffer): Buffer {
  const framed = bytes.length >= HEADER_BYTES && bytes.readUInt32BE() === bytes.length - HEADER_BYTES;
  return framed ? bytes.subarray(HEADER_BYTES) : bytes;
}

function phonebookIn(data: ReadonlyMap<string, unknown>): Received | undefined {
  const data64 = data.get("ENCRYPTED_PHONEBOOK");
  if (data64 === undefined) return undefined;
  const parts = [data.get("ENCRYPTED_SECRET"), data64].map((part) =>
    typeof part === "string" ? base64(part) : undefined,
  );
  const encrypted = parts.every((part) => part !== undefined) ? Buffer.concat(parts) : Buffer.alloc(0);
  if (parts[0]?.length !== WRAPPED_BYTES || !isEncryptedPhonebook(encrypted)) {
    return { kind: "bad", why: "a phonebook that is not 512 bytes and AES blocks in base64" };
  }
  return { kind: "phonebook", encrypted };
}

function isEncryptedPhonebook(bytes: Buffer): boolean {
  return bytes.length > WRAPPED_BYTES && (bytes.length - WRAPPED_BYTES) % BLOCK_BYTES === 0;
}

/** Strict: what Buffer.from would skip over is refused. */
function base64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

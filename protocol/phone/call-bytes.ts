/**
 * The bytes of a call (wire.md 1, CALL). The server passes the end-to-end part on untouched and adds its hop:
 *
 *     SIP body = LP(e2e) | LP(hop)
 *     I  INVITE  u8 1 | u8 1 | call_id(16) | uid_A(32) | uid_B(32) | HEAD_A(184) | SIGN(512) | commit(32) | SIGN_A(512)
 *     R  200     call_id | XB(32) | ek(1184) | n_B(32) | HEAD_B(184) | SIGN(512) | SIGN_B(512)
 *     K  ACK     call_id | XA(32) | n_A(32) | ct(1088)   = k   | SIGN_A(512) | MAC(32)
 *     hop        WRAP(512) | relay id(8)
 */
import { ByteReader, concat, u8, u32 } from "../bytes.ts";
import { MAC_BYTES, SIGNATURE_BYTES, transcript, WRAP_BYTES } from "../crypto/transcript.ts";
import { HEAD_BYTES, headHash } from "../directory/tree-head.ts";
import { ProtocolError } from "../errors.ts";
import { type Uid, uidBytes, uidFromBytes } from "../identity.ts";
import { type Sas, sas } from "../media/keys.ts";

export const CALL_ID_BYTES = 16;
export const NONCE_BYTES = 32;
export const X25519_BYTES = 32;
export const ENCAPSULATION_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;
export const RELAY_ID_BYTES = 8;

const VERSION_AND_SUITE = concat(u8(1), u8(1));
const NOTHING = Buffer.alloc(0);

export interface Parts {
  endToEnd: Buffer;
  hop: Buffer;
}

/** LP(e2e) | LP(hop); an empty SIP body (100 apart, 180 and refusals) has neither. */
export function encodeParts(endToEnd: Uint8Array = NOTHING, hop: Uint8Array = NOTHING): Buffer {
  return concat(u32(endToEnd.length), endToEnd, u32(hop.length), hop);
}

/** @throws {ProtocolError} `malformed`: a wrong LP structure ends the channel */
export function decodeParts(body: Uint8Array): Parts {
  const reader = new ByteReader(body, "call body");
  const parts = { endToEnd: reader.lp(), hop: reader.lp() };
  reader.end();
  return parts;
}

export interface Invite {
  callId: Buffer;
  caller: Uid;
  callee: Uid;
  head: Buffer;
  headSignature: Buffer;
  commit: Buffer;
  signature: Buffer;
  /** All bytes in front of the signature: what it signs. */
  before: Buffer;
  /** I as it travelled. */
  bytes: Buffer;
}

export function inviteBefore(invite: {
  callId: Uint8Array;
  caller: Uid;
  callee: Uid;
  head: Uint8Array;
  headSignature: Uint8Array;
  commit: Uint8Array;
}): Buffer {
  const { callId, caller, callee, head, headSignature, commit } = invite;
  return concat(VERSION_AND_SUITE, callId, uidBytes(caller), uidBytes(callee), head, headSignature, commit);
}

/** @throws {ProtocolError} `malformed` */
export function decodeInvite(bytes: Uint8Array): Invite {
  const reader = new ByteReader(bytes, "INVITE");
  reader.expect(VERSION_AND_SUITE);
  const callId = reader.take(CALL_ID_BYTES);
  const caller = uidFromBytes(reader.take(32));
  const callee = uidFromBytes(reader.take(32));
  const head = reader.take(HEAD_BYTES);
  const headSignature = reader.take(SIGNATURE_BYTES);
  const commit = reader.take(32);
  const before = reader.before;
  const signature = reader.take(SIGNATURE_BYTES);
  reader.end();
  return { callId, caller, callee, head, headSignature, commit, signature, before, bytes: Buffer.from(bytes) };
}

export interface Answer {
  callId: Buffer;
  x25519: Buffer;
  encapsulationKey: Buffer;
  nonce: Buffer;
  head: Buffer;
  headSignature: Buffer;
  signature: Buffer;
  before: Buffer;
  bytes: Buffer;
}

export function answerBefore(answer: Omit<Answer, "signature" | "before" | "bytes">): Buffer {
  const { callId, x25519, encapsulationKey, nonce, head, headSignature } = answer;
  return concat(callId, x25519, encapsulationKey, nonce, head, headSignature);
}

/** @throws {ProtocolError} `malformed` */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const reader = new ByteReader(bytes, "200 of a call");
  const callId = reader.take(CALL_ID_BYTES);
  const x25519 = reader.take(X25519_BYTES);
  const encapsulationKey = reader.take(ENCAPSULATION_KEY_BYTES);
  const nonce = reader.take(NONCE_BYTES);
  const head = reader.take(HEAD_BYTES);
  const headSignature = reader.take(SIGNATURE_BYTES);
  const before = reader.before;
  const signature = reader.take(SIGNATURE_BYTES);
  reader.end();
  return { callId, x25519, encapsulationKey, nonce, head, headSignature, signature, before, bytes: Buffer.from(bytes) };
}

export interface Confirmation {
  callId: Buffer;
  x25519: Buffer;
  nonce: Buffer;
  ciphertext: Buffer;
  signature: Buffer;
  mac: Buffer;
  /** k: what TH takes in. */
  before: Buffer;
}

export function confirmationBefore(
  callId: Uint8Array,
  x25519: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
): Buffer {
  return concat(callId, x25519, nonce, ciphertext);
}

/** @throws {ProtocolError} `malformed` */
export function decodeConfirmation(bytes: Uint8Array): Confirmation {
  const reader = new ByteReader(bytes, "ACK");
  const callId = reader.take(CALL_ID_BYTES);
  const x25519 = reader.take(X25519_BYTES);
  const nonce = reader.take(NONCE_BYTES);
  const ciphertext = reader.take(CIPHERTEXT_BYTES);
  const before = reader.before;
  const signature = reader.take(SIGNATURE_BYTES);
  const mac = reader.take(MAC_BYTES);
  reader.end();
  return { callId, x25519, nonce, ciphertext, signature, mac, before };
}

export interface Hop {
  wrapped: Buffer;
  relayId: Buffer;
}

export function encodeHop(hop: Hop): Buffer {
  return concat(hop.wrapped, hop.relayId);
}

/** @throws {ProtocolError} `malformed` */
export function decodeHop(bytes: Uint8Array): Hop {
  const reader = new ByteReader(bytes, "hop");
  const hop = { wrapped: reader.take(WRAP_BYTES), relayId: reader.take(RELAY_ID_BYTES) };
  reader.end();
  return hop;
}

/** BYE and its 200: call_id, and the MAC of who still had keys. */
export interface Farewell {
  callId: Buffer;
  mac: Buffer | undefined;
}

export function encodeFarewell(callId: Uint8Array, mac?: Uint8Array): Buffer {
  return mac ? concat(callId, mac) : Buffer.from(callId);
}

/** @throws {ProtocolError} `malformed` */
export function decodeFarewell(bytes: Uint8Array): Farewell {
  const reader = new ByteReader(bytes, "BYE");
  const callId = reader.take(CALL_ID_BYTES);
  const mac = reader.left > 0 ? reader.take(MAC_BYTES) : undefined;
  reader.end();
  return { callId, mac };
}

/** T("commit", ..): what A can't change once B has answered. */
export function commitment(
  callId: Uint8Array,
  caller: Uid,
  callee: Uid,
  callerHeadHash: Uint8Array,
  x25519: Uint8Array,
  nonce: Uint8Array,
): Buffer {
  return transcript("commit", callId, uidBytes(caller), uidBytes(callee), callerHeadHash, x25519, nonce);
}

/** T("wrap", ..): whose blob of which call this is. */
export function wrapTranscript(callId: Uint8Array, caller: Uid, callee: Uid, opener: Uid): Buffer {
  return transcript("wrap", callId, uidBytes(caller), uidBytes(callee), uidBytes(opener));
}

export function expectCallId(came: Uint8Array, expected: Uint8Array): void {
  if (Buffer.compare(came, expected) !== 0)
    throw new ProtocolError("malformed", "the body names another call than its Call-ID");
}

/** The numbers both displays show: over what was committed before it could be chosen, and nothing else. */
export function callSas(invite: Invite, answer: Answer, callerX25519: Uint8Array, callerNonce: Uint8Array): Sas {
  return sas(
    transcript(
      "sas",
      invite.callId,
      uidBytes(invite.caller),
      uidBytes(invite.callee),
      headHash(invite.head),
      headHash(answer.head),
      callerX25519,
      callerNonce,
      concat(answer.x25519, answer.encapsulationKey),
      answer.nonce,
    ),
  );
}

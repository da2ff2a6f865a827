/**
 * STUN binding (RFC 8489 §5, §14), as much of it as tells a handset its address as the world sees it.
 *
 *     0        2        4              8                  20
 *     +--------+--------+--------------+------------------+--------------------------------------
 *     | type   | length | 21 12 a4 42  | transaction (12) | type | length | value | 0..3 padding ..
 *     +--------+--------+--------------+------------------+--------------------------------------
 *
 *     type: 0001 binding request, 0101 success; length: uint16, bytes behind the header, a multiple of 4
 *
 * Without credentials: MESSAGE-INTEGRITY is stepped over, FINGERPRINT is checked where it is there and always sent.
 */
import { randomBytes } from "node:crypto";
import { u16, u32 } from "../bytes.ts";
import { type Address, addressBytes } from "./address.ts";

export const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
const TRANSACTION_BYTES = 12;

const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;

const XOR_MAPPED_ADDRESS = 0x0020;
const MESSAGE_INTEGRITY = 0x0008;
const MESSAGE_INTEGRITY_SHA256 = 0x001c;
const FINGERPRINT = 0x8028;
const FINGERPRINT_ATTRIBUTE_BYTES = 8;
const FINGERPRINT_XOR = 0x5354554e; // "STUN", RFC 8489 §14.7

/** MAPPED-ADDRESS, USERNAME, REALM, NONCE and what checks credentials: known, not needed here (RFC 8489 §18.3). */
const UNDERSTOOD = new Set([
  0x0001,
  0x0006,
  MESSAGE_INTEGRITY,
  0x0014,
  0x0015,
  MESSAGE_INTEGRITY_SHA256,
  0x001d,
  0x001e,
  XOR_MAPPED_ADDRESS,
]);

export type StunMessage =
  | {
      type: "request";
      transaction: Buffer;
      /** Attributes below 8000 that we do not know: who meets one may not answer as if he did (RFC 8489 §6.3.1). */
      unknownRequired: number[];
    }
  | { type: "success"; transaction: Buffer; mapped: Address; unknownRequired: number[] };

/** Told apart from voice and BIND on the same port by its cookie (RFC 8489 §5). */
export function looksLikeStun(datagram: Uint8Array): boolean {
  return datagram.length >= HEADER_BYTES && (datagram[0]! & 0xc0) === 0 && hasMagicCookie(datagram);
}

/** Bytes 4..7 are the cookie: no relay id may look like this. */
export function hasMagicCookie(bytes: Uint8Array): boolean {
  return bytes[4] === 0x21 && bytes[5] === 0x12 && bytes[6] === 0xa4 && bytes[7] === 0x42;
}

export function newTransaction(random: (bytes: number) => Buffer = randomBytes): Buffer {
  return random(TRANSACTION_BYTES);
}

export function encodeBindingRequest(transaction: Uint8Array): Buffer {
  return encode(BINDING_REQUEST, transaction);
}

/** @param mapped where the request came from; sent XORed, so that no router on the way rewrites it (RFC 8489 §14.2) */
export function encodeBindingSuccess(transaction: Uint8Array, mapped: Address): Buffer {
  const value = Buffer.concat([
    Buffer.of(0, mapped.family === 4 ? 1 : 2),
    u16(mapped.port ^ (MAGIC_COOKIE >>> 16)),
    masked(mapped.bytes, transaction),
  ]);
  return encode(BINDING_SUCCESS, transaction, Buffer.concat([u16(XOR_MAPPED_ADDRESS), u16(value.length), value]));
}

/** @returns undefined for anything but a whole binding request or success whose FINGERPRINT, if there, is right */
export function parseStun(datagram: Uint8Array): StunMessage | undefined {
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
  if (!looksLikeStun(bytes) || bytes.readUInt16BE(2) !== bytes.length - HEADER_BYTES) return undefined;
  const transaction = Buffer.from(bytes.subarray(8, HEADER_BYTES));
  const unknownRequired: number[] = [];
  let mapped: Address | undefined;
  let integritySeen = false;

  for (let at = HEADER_BYTES; at < bytes.length; ) {
    if (at + 4 > bytes.length) return undefined;
    const type = bytes.readUInt16BE(at);
    const valueBytes = bytes.readUInt16BE(at + 2);
    const value = bytes.subarray(at + 4, at + 4 + valueBytes);
    const next = at + 4 + valueBytes + ((4 - (valueBytes % 4)) % 4);
    if (next > bytes.length) return undefined;
    if (type === FINGERPRINT) {
      if (next !== bytes.length || valueBytes !== 4) return undefined;
      if (value.readUInt32BE() !== fingerprintOf(bytes.subarray(0, at))) return undefined;
    } else if (integritySeen) {
      // Whatever follows the integrity could have been added on the way: not looked at (RFC 8489 §14.5).
    } else if (type === XOR_MAPPED_ADDRESS) {
      mapped ??= unmask(value, transaction);
      if (!mapped) return undefined;
    } else if (type < 0x8000 && !UNDERSTOOD.has(type)) {
      unknownRequired.push(type);
    }
    integritySeen ||= type === MESSAGE_INTEGRITY || type === MESSAGE_INTEGRITY_SHA256;
    at = next;
  }

  switch (bytes.readUInt16BE(0)) {
    case BINDING_REQUEST:
      return { type: "request", transaction, unknownRequired };
    case BINDING_SUCCESS:
      return mapped && { type: "success", transaction, mapped, unknownRequired };
    default:
      return undefined;
  }
}

function encode(type: number, transaction: Uint8Array, attributes: Uint8Array = Buffer.alloc(0)): Buffer {
  // The fingerprint is taken over a head whose length counts the fingerprint already (RFC 8489 §14.7).
  const before = Buffer.concat([
    u16(type),
    u16(attributes.length + FINGERPRINT_ATTRIBUTE_BYTES),
    u32(MAGIC_COOKIE),
    transaction,
    attributes,
  ]);
  return Buffer.concat([before, u16(FINGERPRINT), u16(4), u32(fingerprintOf(before))]);
}

function fingerprintOf(before: Uint8Array): number {
  return (crc32(before) ^ FINGERPRINT_XOR) >>> 0;
}

/** ITU-T V.42, as FINGERPRINT uses it; node:zlib has one, but protocol/ stands on node:crypto alone. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc;
}

/** XOR with cookie | transaction; its own inverse. */
function masked(addressAsIs: Uint8Array, transaction: Uint8Array): Buffer {
  const mask = Buffer.concat([u32(MAGIC_COOKIE), transaction]);
  return Buffer.from(addressAsIs.map((byte, at) => byte ^ mask[at]!));
}

function unmask(value: Buffer, transaction: Uint8Array): Address | undefined {
  const family = value[1] === 1 ? 4 : value[1] === 2 ? 6 : undefined;
  if (!family || value.length !== 4 + addressBytes(family)) return undefined;
  const port = value.readUInt16BE(2) ^ (MAGIC_COOKIE >>> 16);
  return port === 0 ? undefined : { family, bytes: masked(value.subarray(4), transaction), port };
}

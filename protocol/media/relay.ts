/**
 * What travels between a handset and the server's voice relay (wire.md 1, VOICE Relay). One UDP port takes all four,
 * told apart by their form:
 *
 *     0             8    9           17             33
 *     +-------------+----+-----------+--------------+
 *     | relay id    | 00 | counter   | MAC, cut (16) |      BIND to the relay; BOUND, the same form, from it
 *     +-------------+----+-----------+--------------+
 *
 *     0             8                                 8 + 28 .. 1,500
 *     +-------------+---------------------------------+
 *     | relay id    | SRTP packet, first byte 80      |      data; id of its handset, in both directions
 *     +-------------+---------------------------------+
 *
 *     STUN: bytes 4..7 are 21 12 a4 42                       protocol/media/stun.ts
 */
import { publicBytes, u8, u64 } from "../bytes.ts";
import { mac, macHolds, transcript } from "../crypto/transcript.ts";
import type { Slot, Vault } from "../vault.ts";
import { RTP_FIRST_BYTE, RTP_HEADER_BYTES, TAG_BYTES } from "./packet.ts";
import { hasMagicCookie, looksLikeStun, parseStun, type StunMessage } from "./stun.ts";

export const RELAY_ID_BYTES = 8;
export const BINDING_BYTES = 33;
/** Nothing longer is read or passed on. */
export const MAX_DATAGRAM_BYTES = 1500;

const BINDING_TAG_BYTES = 16;
const BINDING_FORM = 0x00;
const COUNTER_AT = RELAY_ID_BYTES + 1;
const TAG_AT = COUNTER_AT + 8;

/** BIND and BOUND have one form; only the label under the MAC, hence the direction, tells them apart. */
export interface Binding {
  kind: "binding";
  relayId: Buffer;
  counter: number;
  tag: Buffer;
}

export type RelayDatagram =
  | Binding
  | { kind: "data"; relayId: Buffer; packet: Buffer }
  | { kind: "stun"; message: StunMessage };

/** A relay id is random, but never such that its data could be taken for STUN. */
export function newRelayId(random: (bytes: number) => Buffer = publicBytes): Buffer {
  for (;;) {
    const id = random(RELAY_ID_BYTES);
    if (!hasMagicCookie(id)) return id;
  }
}

/** Asks the relay to send to the address this datagram comes from. @param counter above all earlier ones of this id */
export function encodeBind(vault: Vault, relayKey: Slot<"mac">, relayId: Uint8Array, counter: number): Buffer {
  return encodeBinding(vault, relayKey, "bind", relayId, counter);
}

export function bindHolds(vault: Vault, relayKey: Slot<"mac">, { relayId, counter, tag }: Binding): boolean {
  return macHolds(vault, relayKey, "bind", bindingTranscript("bind", relayId, counter), tag);
}

/** The relay's answer to a good BIND, with the counter of that BIND. */
export function encodeBound(vault: Vault, relayKey: Slot<"mac">, relayId: Uint8Array, counter: number): Buffer {
  return encodeBinding(vault, relayKey, "bound", relayId, counter);
}

export function boundHolds(vault: Vault, relayKey: Slot<"mac">, { relayId, counter, tag }: Binding): boolean {
  return macHolds(vault, relayKey, "bound", bindingTranscript("bound", relayId, counter), tag);
}

/** @param relayId of the handset that sends this, or that shall have it */
export function encodeData(relayId: Uint8Array, packet: Uint8Array): Buffer {
  return Buffer.concat([relayId, packet]);
}

/**
 * Reads a datagram once, at the edge; the pieces are views into it.
 *
 * @returns undefined for everything that is none of the four
 */
export function parseRelayDatagram(datagram: Uint8Array): RelayDatagram | undefined {
  if (datagram.length > MAX_DATAGRAM_BYTES) return undefined;
  const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
  if (looksLikeStun(bytes)) {
    const message = parseStun(bytes);
    return message && { kind: "stun", message };
  }
  const relayId = bytes.subarray(0, RELAY_ID_BYTES);
  switch (bytes[RELAY_ID_BYTES]) {
    case BINDING_FORM: {
      if (bytes.length !== BINDING_BYTES) return undefined;
      const counter = Number(bytes.readBigUInt64BE(COUNTER_AT));
      return Number.isSafeInteger(counter)
        ? { kind: "binding", relayId, counter, tag: bytes.subarray(TAG_AT) }
        : undefined;
    }
    case RTP_FIRST_BYTE: {
      const packet = bytes.subarray(RELAY_ID_BYTES);
      return packet.length < RTP_HEADER_BYTES + TAG_BYTES ? undefined : { kind: "data", relayId, packet };
    }
    default:
      return undefined;
  }
}

function encodeBinding(
  vault: Vault,
  relayKey: Slot<"mac">,
  word: "bind" | "bound",
  relayId: Uint8Array,
  counter: number,
): Buffer {
  const tag = mac(vault, relayKey, word, bindingTranscript(word, relayId, counter)).subarray(0, BINDING_TAG_BYTES);
  return Buffer.concat([relayId, u8(BINDING_FORM), u64(counter), tag]);
}

function bindingTranscript(word: "bind" | "bound", relayId: Uint8Array, counter: number): Buffer {
  return transcript(word, relayId, u64(counter));
}

/**
 * One packet of voice, sealed (RFC 3550 §5.1, RFC 7714 §8): every packet of a call has this one length, in silence
 * and mute too (RFC 6562).
 *
 *     0    1    2       4            8      12                    652        668
 *     +----+----+-------+------------+------+---------------------+----------+
 *     | 80 | 60 | seq   | time stamp | SSRC | sealed voice (640)  | tag (16) |
 *     +----+----+-------+------------+------+---------------------+----------+
 *
 *     80: V = 2, P = X = CC = 0; 60: M = 0, PT 96; seq: from 0, wraps; time stamp: samples sent before; SSRC: 1 or 2
 */

export const RTP_HEADER_BYTES = 12;
export const TAG_BYTES = 16;
export const RTP_FIRST_BYTE = 0x80;
export const PAYLOAD_TYPE = 96;
/** A is the caller. */
export const SSRC = { A: 1, B: 2 } as const;

/** 20 ms of 16 kHz, mono, s16 big-endian. */
export const VOICE_BYTES = 640;
export const PACKET_BYTES = RTP_HEADER_BYTES + VOICE_BYTES + TAG_BYTES;

/** What travels in clear in front of the voice. Nothing of it is trusted before the tag has been checked. */
export interface RtpHeader {
  /** 0..65535, the low half of the packet's index. */
  sequence: number;
  /** Samples sent before this packet, modulo 2^32. */
  timestamp: number;
  ssrc: number;
}

/** @returns undefined for anything that is not one of our packets by its header and least length */
export function parseRtpHeader(packet: Uint8Array): RtpHeader | undefined {
  if (packet.length < RTP_HEADER_BYTES + TAG_BYTES) return undefined;
  if (packet[0] !== RTP_FIRST_BYTE || packet[1] !== PAYLOAD_TYPE) return undefined;
  const header = Buffer.from(packet.buffer, packet.byteOffset, RTP_HEADER_BYTES);
  return { sequence: header.readUInt16BE(2), timestamp: header.readUInt32BE(4), ssrc: header.readUInt32BE(8) };
}

/**
 * Voice packets: SRTP with AEAD_AES_256_GCM (RFC 3711, RFC 7714), the key turned on every 3,000 packets (wire.md VOICE).
 *
 *     0        1    2     4           8      12                       n - 16        n
 *     +--------+----+-----+-----------+------+------------------------+-------------+
 *     | 80     | 96 | seq | timestamp | ssrc | ciphertext             | tag         |
 *     +--------+----+-----+-----------+------+------------------------+-------------+
 *     | header: V=2, P=X=CC=M=0, AAD         | AES-256-GCM                          |
 *
 *     index  = ROC * 2^16 + seq: 0, 1, 2 .., never restarts
 *     epoch  = index div 3000; its master = HKDF of the master before
 *     master = key 32 | salt 12; session key and salt come from it by AES-CM (RFC 3711 §4.3, RFC 6188), kdr 0
 *     nonce  = (00 00 | ssrc | ROC | seq) XOR session salt (RFC 7714 §8.1)
 */
import { createCipheriv } from "node:crypto";
import { VaultError } from "@feldfon/protocol/errors";
import type { MediaProfile, PacketRefusal, SrtpReceiver, SrtpSender } from "@feldfon/protocol/vault";
import { gcmOpen, gcmSeal, hkdf, KEY_AND_IV_BYTES, KEY_BYTES, NONCE_BYTES, TAG_BYTES } from "./gcm.ts";
import { overwrite } from "./handles.ts";

export const EPOCH_PACKETS = 3000;
export const WINDOW_PACKETS = 128;
/** An epoch further ahead than this is not tried: two minutes of nothing but loss. */
const EPOCHS_AHEAD = 2;
const INDEX_END = 2 ** 48;
const SEQUENCE_END = 2 ** 16;

const HEADER_BYTES = 12;
const VERSION_2 = 0x80;
const PAYLOAD_TYPE = 96;

const LABEL_ENCRYPTION = 0x00;
const LABEL_SALT = 0x02;
const KDF_SALT_BYTES = 14;
const KDF_LABEL_AT = 7;

/** What seals the packets of one epoch. */
export interface SessionKeys {
  key: Buffer;
  salt: Buffer;
}

/** AES-CM key derivation (RFC 3711 §4.3.3; with 256 bits RFC 6188 §2). @param salt master salt, 14 bytes */
export function srtpKdf(masterKey: Uint8Array, salt: Uint8Array, label: number, lengthBytes: number): Buffer {
  const start = Buffer.alloc(16);
  start.set(salt);
  start[KDF_LABEL_AT]! ^= label;
  const derived = createCipheriv(`aes-${masterKey.length * 8}-ctr`, masterKey, start).update(Buffer.alloc(lengthBytes));
  start.fill(0);
  return derived;
}

/** @param master key 32 | salt 12; two zero bytes fill the salt up to the 14 of the derivation (RFC 7714 §11) */
export function sessionKeys(master: Uint8Array): SessionKeys {
  const masterKey = master.subarray(0, KEY_BYTES);
  const salt = Buffer.alloc(KDF_SALT_BYTES);
  salt.set(master.subarray(KEY_BYTES, KEY_AND_IV_BYTES));
  const session = {
    key: srtpKdf(masterKey, salt, LABEL_ENCRYPTION, KEY_BYTES),
    salt: srtpKdf(masterKey, salt, LABEL_SALT, NONCE_BYTES),
  };
  salt.fill(0);
  return session;
}

/** @param header 12 bytes, whose low 16 bits of the index are its sequence number @returns the whole packet */
export function sealPacket(session: SessionKeys, header: Buffer, index: number, payload: Uint8Array): Buffer {
  return Buffer.concat([header, gcmSeal(session.key, packetNonce(session.salt, header, index), header, payload)]);
}

/** @returns the payload, undefined when the tag does not fit */
export function openPacket(session: SessionKeys, packet: Buffer, index: number): Buffer | undefined {
  const header = packet.subarray(0, HEADER_BYTES);
  return gcmOpen(session.key, packetNonce(session.salt, header, index), header, packet.subarray(HEADER_BYTES));
}

function packetNonce(salt: Buffer, header: Buffer, index: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  header.copy(nonce, 2, 8, HEADER_BYTES);
  nonce.writeUIntBE(index, 6, 6);
  for (let at = 0; at < NONCE_BYTES; at++) nonce[at]! ^= salt[at]!;
  return nonce;
}

/**
 * The index nearest to the highest one seen that ends in this sequence number (RFC 3711 §3.3.1).
 *
 * @returns below 0 when that lies before the first packet
 */
export function guessIndex(sequence: number, highest: number): number {
  const rollovers = Math.floor(highest / SEQUENCE_END);
  const last = highest % SEQUENCE_END;
  const half = SEQUENCE_END / 2;
  if (last < half && sequence - last > half) return (rollovers - 1) * SEQUENCE_END + sequence;
  if (last >= half && last - half > sequence) return (rollovers + 1) * SEQUENCE_END + sequence;
  return rollovers * SEQUENCE_END + sequence;
}

/** Media of one direction under a master that belongs to the vault's slot: turned on in place, wiped by the slot. */
abstract class Media {
  protected readonly master: Buffer;
  protected readonly profile: MediaProfile;
  protected readonly sessions = new Map<number, SessionKeys>();
  #closed = false;

  /** @param start index of the first packet; `master` is that of its epoch */
  protected constructor(master: Buffer, profile: MediaProfile, start: number) {
    this.master = master;
    this.profile = {
      ssrc: profile.ssrc,
      ratchet: { salt: Buffer.from(profile.ratchet.salt), info: Buffer.from(profile.ratchet.info) },
    };
    this.sessions.set(epochOf(start), sessionKeys(master));
  }

  /** Wipes the session keys. Closing twice is harmless. */
  close(): void {
    this.#closed = true;
    for (const epoch of [...this.sessions.keys()]) this.forget(epoch);
  }

  protected checkOpen(): void {
    if (this.#closed) throw new VaultError("empty-slot", "voice was used after its keys were wiped");
  }

  protected forget(epoch: number): void {
    const session = this.sessions.get(epoch);
    if (!session) return;
    overwrite(session.key);
    overwrite(session.salt);
    this.sessions.delete(epoch);
  }

  /** The master of the epoch after. */
  protected turn(master: Buffer): Buffer {
    return hkdf(master, this.profile.ratchet.salt, this.profile.ratchet.info, KEY_AND_IV_BYTES);
  }

  protected replaceMaster(next: Buffer): void {
    next.copy(this.master);
    overwrite(next);
  }
}

export class MediaSender extends Media implements SrtpSender {
  #index: number;

  constructor(master: Buffer, profile: MediaProfile, start = 0) {
    super(master, profile, start);
    this.#index = start;
  }

  /** @throws {VaultError} `exhausted` after 2^48 packets, `wrong-length` for an empty payload, `empty-slot` when closed */
  seal(payload: Uint8Array, timestamp: number): Buffer {
    this.checkOpen();
    if (payload.length === 0) throw new VaultError("wrong-length", "an empty voice packet came, 1 byte is the least");
    if (this.#index >= INDEX_END) throw new VaultError("exhausted", "2^48 voice packets were sealed, no index is left");
    const index = this.#index++;
    const epoch = epochOf(index);
    let session = this.sessions.get(epoch);
    if (!session) {
      this.replaceMaster(this.turn(this.master));
      this.forget(epoch - 1);
      session = sessionKeys(this.master);
      this.sessions.set(epoch, session);
    }
    return sealPacket(session, this.#header(index, timestamp), index, payload);
  }

  #header(index: number, timestamp: number): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = VERSION_2;
    header[1] = PAYLOAD_TYPE;
    header.writeUInt16BE(index % SEQUENCE_END, 2);
    header.writeUInt32BE(timestamp % 2 ** 32, 4);
    header.writeUInt32BE(this.profile.ssrc, 8);
    return header;
  }
}

export class MediaReceiver extends Media implements SrtpReceiver {
  #highest: number;
  /** The epoch of the master: the highest that a good packet has shown. */
  #epoch: number;
  /** The index last seen at each place of the window. */
  readonly #seen: number[] = new Array(WINDOW_PACKETS).fill(-1);

  constructor(master: Buffer, profile: MediaProfile, start = 0) {
    super(master, profile, start);
    this.#highest = start - 1;
    this.#epoch = epochOf(start);
  }

  /** What is refused leaves no trace. @throws {VaultError} `empty-slot` when closed */
  open(bytes: Uint8Array): { index: number; timestamp: number; payload: Buffer } | PacketRefusal {
    this.checkOpen();
    const packet = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (!this.#isWellFormed(packet)) return "malformed";
    const index = guessIndex(packet.readUInt16BE(2), Math.max(this.#highest, 0));
    if (index < 0 || index <= this.#highest - WINDOW_PACKETS) return "too-old";
    if (this.#seen[index % WINDOW_PACKETS] === index) return "replayed";
    const epoch = epochOf(index);
    // Nobody who has the keys seals there, so a look at the tag is not needed.
    if (index >= INDEX_END || epoch > this.#epoch + EPOCHS_AHEAD) return "forged";

    const payload = epoch > this.#epoch ? this.#openAhead(packet, index, epoch) : this.#openKnown(packet, index, epoch);
    if (typeof payload === "string") return payload;
    this.#seen[index % WINDOW_PACKETS] = index;
    this.#highest = Math.max(this.#highest, index);
    for (const old of [...this.sessions.keys()]) {
      const last = (old + 1) * EPOCH_PACKETS - 1;
      if (last <= this.#highest - WINDOW_PACKETS) this.forget(old);
    }
    return { index, timestamp: packet.readUInt32BE(4), payload };
  }

  #isWellFormed(packet: Buffer): boolean {
    return (
      packet.length > HEADER_BYTES + TAG_BYTES &&
      packet[0] === VERSION_2 &&
      packet[1] === PAYLOAD_TYPE &&
      packet.readUInt32BE(8) === this.profile.ssrc
    );
  }

  #openKnown(packet: Buffer, index: number, epoch: number): Buffer | PacketRefusal {
    const session = this.sessions.get(epoch);
    if (!session) return "too-old";
    return openPacket(session, packet, index) ?? "forged";
  }

  /** Tries the keys of an epoch that has not begun here; only a good tag makes it begin. */
  #openAhead(packet: Buffer, index: number, epoch: number): Buffer | PacketRefusal {
    const masters: Buffer[] = [];
    try {
      for (let at = this.#epoch; at < epoch; at++) masters.push(this.turn(masters.at(-1) ?? this.master));
      const sessions = masters.map(sessionKeys);
      const payload = openPacket(sessions.at(-1)!, packet, index);
      if (!payload) {
        for (const session of sessions) {
          overwrite(session.key);
          overwrite(session.salt);
        }
        return "forged";
      }
      for (const [at, session] of sessions.entries()) this.sessions.set(this.#epoch + 1 + at, session);
      this.#epoch = epoch;
      this.replaceMaster(masters.at(-1)!);
      return payload;
    } finally {
      for (const master of masters) overwrite(master);
    }
  }
}

function epochOf(index: number): number {
  return Math.floor(index / EPOCH_PACKETS);
}

/**
 * The head: what the server signs about its directory, one for every epoch (wire.md 1, DIRECTORY).
 *
 *     0      4       36      44     48          80         112    144        176       184
 *     +------+-------+-------+------+-----------+----------+------+----------+---------+
 *     | FFH1 | uid_S | epoch | rows | seed root | dir root | prev | log root | time ms |
 *     +------+-------+-------+------+-----------+----------+------+----------+---------+
 *
 * Heads are the same when their hashes are; a signature may be made twice and differ, so none is ever compared.
 */
import { ByteReader, concat, equalBytes, u32, u64 } from "../bytes.ts";
import { HASH_BYTES, sign, signatureHolds, transcript } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import { type PublicKey, UID_BYTES, type Uid, uidBytes, uidFromBytes } from "../identity.ts";
import type { KeyPair, Vault } from "../vault.ts";
import { leafHash, type MerkleLog, NO_HASH } from "./log.ts";
import type { Directory } from "./phonebook.ts";

const MAGIC = Buffer.from("FFH1", "ascii");
export const HEAD_BYTES = 184;

export interface Head {
  server: Uid;
  /** 0, 1, 2 ..; counts the changes of the directory and is never used twice. */
  epoch: number;
  /** Rows of the directory, the server's among them. */
  rows: number;
  /** The seed's root, definition A; its 64 digits as 32 bytes. */
  seedRoot: Buffer;
  /** RFC 6962 root over the rows: uid, name, key, flags. */
  dirRoot: Buffer;
  /** Hash of the head of epoch - 1; zeros at epoch 0. */
  prev: Buffer;
  /** RFC 6962 root over the hashes of all earlier heads; zeros at epoch 0. */
  logRoot: Buffer;
  /** Shown, never judged. */
  timeMs: number;
}

/** A head whose signature has been verified (or just been made). */
export interface SignedHead {
  head: Head;
  /** The head's 184 bytes. */
  bytes: Buffer;
  /** The head's hash, 32 bytes: its identity. */
  hash: Buffer;
  /** 512 bytes */
  signature: Buffer;
}

/** @returns 184 bytes */
export function encodeHead(head: Head): Buffer {
  return concat(
    MAGIC,
    uidBytes(head.server),
    u64(head.epoch),
    u32(head.rows),
    head.seedRoot,
    head.dirRoot,
    head.prev,
    head.logRoot,
    u64(head.timeMs),
  );
}

/** @throws {ProtocolError} `malformed`, also when epoch 0 has a past or no row is counted */
export function decodeHead(bytes: Uint8Array): Head {
  const reader = new ByteReader(bytes, "head");
  reader.expect(MAGIC);
  const head: Head = {
    server: uidFromBytes(reader.take(UID_BYTES)),
    epoch: reader.u64(),
    rows: reader.u32(),
    seedRoot: reader.take(HASH_BYTES),
    dirRoot: reader.take(HASH_BYTES),
    prev: reader.take(HASH_BYTES),
    logRoot: reader.take(HASH_BYTES),
    timeMs: reader.u64(),
  };
  reader.end();
  if (head.rows === 0) throw new ProtocolError("malformed", "head: no rows, the server's is always there");
  if (head.epoch === 0 && !(equalBytes(head.prev, NO_HASH) && equalBytes(head.logRoot, NO_HASH))) {
    throw new ProtocolError("malformed", "head: epoch 0 names an earlier head");
  }
  return head;
}

/** T("head", HEAD). @returns 32 bytes */
export function headHash(headBytes: Uint8Array): Buffer {
  return transcript("head", headBytes);
}

/** The leaf of a head in the log of all heads: H(00 | headhash). */
export function logLeaf(signed: Pick<SignedHead, "hash">): Buffer {
  return leafHash(signed.hash);
}

/**
 * The head of a directory that has just changed; to be signed, stored and then appended to the log.
 *
 * @param log all earlier heads (`logLeaf`); their number is the new epoch
 * @param previous the newest of them
 */
export function nextHead(
  directory: Directory,
  log: MerkleLog,
  previous: Pick<SignedHead, "hash"> | undefined,
  timeMs: number,
): Head {
  return {
    server: directory.rows[0]!.uid,
    epoch: log.size,
    rows: directory.rows.length,
    seedRoot: directory.seedRoot(),
    dirRoot: directory.dirRoot(),
    prev: previous?.hash ?? Buffer.from(NO_HASH),
    logRoot: log.root(),
    timeMs,
  };
}

/** SIGN_S("head", headhash) */
export async function signHead(vault: Vault, keyPair: KeyPair, head: Head): Promise<SignedHead> {
  const bytes = encodeHead(head);
  const hash = headHash(bytes);
  return { head, bytes, hash, signature: await sign(vault, keyPair, "head", hash) };
}

/** @throws {ProtocolError} `malformed`, `unauthentic` (another server's head, or a signature that does not hold) */
export function readSignedHead(bytes: Uint8Array, signature: Uint8Array, serverKey: PublicKey): SignedHead {
  // Copies: a head outlives the message it came in.
  const signed = { bytes: Buffer.from(bytes), hash: headHash(bytes), signature: Buffer.from(signature) };
  const head = decodeHead(signed.bytes);
  if (head.server !== serverKey.uid || !signatureHolds(serverKey, "head", signed.hash, signed.signature)) {
    throw new ProtocolError("unauthentic", "a head came without the server's signature");
  }
  return { head, ...signed };
}

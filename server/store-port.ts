/**
 * What is kept of who is here: names and keys, places, heads. Public data only; secrets live in the vault and die with
 * their connection (design 8).
 */
import type { Uid } from "@feldfon/protocol/identity";

export interface StoredHandset {
  uid: Uid;
  /** Bound to the key until the operator releases it. */
  name: string;
  spki: Buffer;
  /** Order of the rows; undefined while the handset is not in the directory. */
  place: number | undefined;
}

export interface StoredHead {
  /** HEAD, 184 bytes. */
  bytes: Buffer;
  signature: Buffer;
}

export interface StoredState {
  /** The newest head; undefined at the very first start. */
  head: StoredHead | undefined;
  /** headhash of epochs 0, 1, 2 .. one behind the other, 32 bytes each. */
  hashes: Buffer;
  /** Those with a place first, in the order of their rows. */
  handsets: StoredHandset[];
}

/** The log that the registry is a state machine over. */
export type LogRecord =
  | { kind: "join"; uid: Uid; name: string; spki: Buffer }
  | { kind: "leave"; uid: Uid }
  /** Forgets name and key; only for a handset without a place. */
  | { kind: "release"; uid: Uid };

export interface StoredBatch {
  records: LogRecord[];
  /** Missing when the directory stays what it is (a release of someone absent). */
  head?: StoredHead & { epoch: number; hash: Buffer };
}

export interface Store {
  load(): Promise<StoredState>;
  /** All or nothing, and on disk when it resolves. @throws {StoreError} then nothing is certain: ask `newest` */
  commit(batch: StoredBatch): Promise<void>;
  /** The newest epoch on disk, for after a failed commit. */
  newest(): Promise<{ epoch: number; hash: Buffer } | undefined>;
  close(): Promise<void>;
}

/**
 * - `broken`: not our file, or damaged
 * - `version`: made by another version
 * - `other-server`: belongs to another server key
 * - `in-use`: another process has it open
 * - `unreachable`: cannot be opened or written
 * - `full`: no space left
 * - `conflict`: the batch does not continue what is stored
 * - `failed`: anything else below us, `closed` included
 */
export type StoreFault =
  | "broken"
  | "version"
  | "other-server"
  | "in-use"
  | "unreachable"
  | "full"
  | "conflict"
  | "failed";

/** The ground gave way. The sentence says what to do. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreFault;

  constructor(code: StoreFault, sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }
}

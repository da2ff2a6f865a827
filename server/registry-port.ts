/**
 * Who is here: a deterministic state machine over a log of JOIN and LEAVE records (design 8). The embedded one is
 * registry.ts; a cluster later puts the same records on a shared log behind this port.
 */
import type { Row } from "@feldfon/protocol/directory/phonebook";
import type { SignedHead } from "@feldfon/protocol/directory/tree-head";
import type { PublicKey, Uid } from "@feldfon/protocol/identity";

/** The directory at one epoch. Never changes: the next epoch is another view. */
export interface DirectoryView {
  readonly signed: SignedHead;
  /** Row 0 is the server; a handset's id is its index - 1. */
  readonly rows: readonly Row[];
}

/** Reason words of the sealed 403 (wire.md 2, join). */
export type JoinRefusal = "name-bad" | "name-taken" | "key-known" | "code-bad";

export type JoinOutcome = { view: DirectoryView } | { refused: JoinRefusal };

export interface JoinRequest {
  key: PublicKey;
  name: string;
  /** Enrolment code, empty if the handset has none. */
  code: string;
}

export interface Snapshot {
  /** Body of connect, step 2, in pieces, with the log path from the asker's last head. */
  step2: readonly Buffer[];
  /** Body of connect, step 6, for the same head. */
  step6: Buffer;
  view: DirectoryView;
}

/** `unavailable`: the ground gave way (disk full, vault); try again later. `closed`: the server is going down. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  readonly code: "unavailable" | "closed";

  constructor(code: "unavailable" | "closed", sentence: string, options?: { cause?: unknown }) {
    super(sentence, options);
    this.code = code;
  }
}

export interface Registry {
  /** What is stored and may leave the house. */
  view(): DirectoryView;
  rowOf(uid: Uid): Row | undefined;
  /** A name is bound to this key, whether its handset is here or not (480 or 404). */
  knows(uid: Uid): boolean;

  /**
   * phone: connect, step 2. The head is on disk before this resolves; many joins of one window share an epoch. A
   * handset whose place is kept gets no new epoch. Ends the grace of an earlier line.
   *
   * @throws {RegistryError} `unavailable` (answer 503), `closed`
   */
  join(request: JoinRequest): Promise<JoinOutcome>;
  /** Leave in order: the row goes with the next batch. Resolves after that batch; never rejects: a full disk only delays it. */
  leave(uid: Uid): Promise<void>;
  /** The line is lost and no other has replaced it: the place is kept for the grace, then the handset leaves. */
  absent(uid: Uid): void;
  /** A line is back (resume). @returns false when there is no place any more, so that the handset has to join */
  present(uid: Uid): boolean;

  /** From -> now, encoded (wire.md DIRECTORY, delta). Undefined when `fromEpoch` is too old or unknown: a snapshot is due. */
  delta(fromEpoch: number): Buffer | undefined;
  /** Steps 2 and 6 of now, for someone whose last head is (epoch, hash); (0, zeros) = none. */
  snapshot(lastEpoch: number, lastHash: Uint8Array): Snapshot;
  /** Entries of older's path in the log of newer (wire.md DIRECTORY, path). Undefined when there is none: 404. */
  logPath(older: number, newer: number): Buffer | undefined;
  headHash(epoch: number): Buffer | undefined;

  /** After each new epoch, once it is on disk. @returns stop listening */
  onChange(listener: (view: DirectoryView) => void): () => void;

  /** The operator frees a name and its key. `present`: its handset has a line, let it leave first. @throws {RegistryError} */
  release(name: string): Promise<"released" | "unknown" | "present">;
  /** Finishes the batch, refuses everything later. The store belongs to whoever opened it. */
  close(): Promise<void>;
}

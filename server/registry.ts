/**
 * The registry of one process: rows in memory, a log of JOIN and LEAVE records on disk (design 8, performance.md 4).
 *
 *     join, leave, release --> batch window --> plan on a copy --> head, signed --> store --> answers, listeners
 *                              one at a time     names, ids, roots     vault        one transaction
 *
 * Nothing of a batch is seen before it is on disk: no answer, no row, no head. So an epoch is never used twice, whatever
 * happens in between.
 */
import { hash, timingSafeEqual } from "node:crypto";
import { equalBytes, lp } from "@feldfon/protocol/bytes";
import { HASH_BYTES } from "@feldfon/protocol/crypto/transcript";
import { MerkleLog, NO_HASH } from "@feldfon/protocol/directory/log";
import { parseName, SERVER_NAME, skeleton } from "@feldfon/protocol/directory/names";
import {
  Directory,
  encodeDelta,
  encodeStep2Head,
  encodeStep2Row,
  encodeStep6Row,
  type Op,
  type Row,
} from "@feldfon/protocol/directory/phonebook";
import { decodeHead, encodeHead, logLeaf, nextHead, type SignedHead } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import { PublicKey, type Uid } from "@feldfon/protocol/identity";
import { BatchWindow } from "./batch-window.ts";
import { type Clock, systemClock, type Timer } from "./clock.ts";
import { NameBook } from "./name-book.ts";
import {
  type DirectoryView,
  type JoinOutcome,
  type JoinRequest,
  type Registry,
  RegistryError,
  type Snapshot,
} from "./registry-port.ts";
import { ShownRows } from "./shown-rows.ts";
import type { HeadSigner } from "./signer.ts";
import { type LogRecord, type Store, type StoredState, StoreError } from "./store-port.ts";

/** Step 2 takes 586 bytes a row and has to fit into a frame of 10 MiB. */
export const MAX_ROWS = 16_384;
/** Epochs from which a delta is still made; who was away longer gets a snapshot. */
const DELTA_EPOCHS = 1_024;
/** Changes kept for them. */
const DELTA_OPS = 16_384;
/** Work of one batch: a change of 10,000 rows costs tens of microseconds, and the loop has other things to do. */
const BATCH_WORKS = 1_024;
/** So few newcomers travel as a delta even if a snapshot would be shorter. */
const ALWAYS_A_DELTA = 64;
/** Encoded deltas kept for one epoch: nearly all clients are at the epoch before it. */
const DELTAS_KEPT = 64;
/** A leave that could not be stored is tried again. */
const RETRY_MS = 1_000;

export interface RegistryOptions {
  store: Store;
  signer: HeadSigner;
  clock?: Clock;
  /** At most one batch in this time; at once when idle. */
  windowMs?: number;
  /** How long a lost handset keeps its place. */
  graceMs?: number;
  /** Asked of keys that are not bound to a name yet. Empty: nobody is asked. */
  enrolmentCode?: string;
  /** Rows of a full directory, the server's included. */
  maxRows?: number;
  /** A batch failed; joins have been told, leaves are tried again. For log and metrics. */
  onFault?: (error: unknown) => void;
}

type Released = "released" | "unknown" | "present";

interface Settle<Outcome> {
  resolve(outcome: Outcome): void;
  reject(error: RegistryError): void;
}

type JoinWork = { do: "join"; uid: Uid; key: PublicKey; name: string; code: string } & Settle<JoinOutcome>;
/** `afterGrace`: called off when the handset comes back before the batch begins. */
type LeaveWork = { do: "leave"; uid: Uid; afterGrace: boolean } & Settle<void>;
type ReleaseWork = { do: "release"; name: string } & Settle<Released>;
/** What waits for the next batch. */
type Work = JoinWork | LeaveWork | ReleaseWork;

/** One batch before it is true. */
interface Plan {
  directory: Directory;
  names: NameBook;
  ops: Op[];
  records: LogRecord[];
  /** To be said once the batch is on disk. */
  answers: (() => void)[];
  signed?: SignedHead;
}

/**
 * Loads what is stored, checks it against its own head, and makes epoch 0 at the very first start. Handsets that were
 * here before keep their places for the grace.
 *
 * @throws {StoreError} `broken`, `other-server` and what the store throws. @throws {VaultError}
 */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const registry = new EmbeddedRegistry(options);
  await registry.start();
  return registry;
}

class EmbeddedRegistry implements Registry {
  readonly #store: Store;
  readonly #signer: HeadSigner;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #enrolmentCode: string;
  readonly #maxRows: number;
  readonly #onFault: (error: unknown) => void;
  readonly #window: BatchWindow<Work>;
  readonly #listeners = new Set<(view: DirectoryView) => void>();

  #directory: Directory;
  #view: DirectoryView | undefined;
  readonly #names = new NameBook();
  /** Leaf i is the head of epoch i, the newest one included. */
  readonly #log = new MerkleLog();
  readonly #hashes: Buffer[] = [];
  readonly #history = new History();
  readonly #step2Rows = new ShownRows((row, leaf) => encodeStep2Row({ spki: row.key.spki, leaf }));
  readonly #step6Rows = new ShownRows(encodeStep6Row);
  /** Sealed for each client, encoded once: deltas to the newest epoch, by the epoch they start from. */
  readonly #deltas = new Map<number, Buffer>();

  /** Lines lost; the timer ends the grace. */
  readonly #graces = new Map<Uid, Timer>();
  /** Graces that have ended and whose leave still waits for its batch. */
  readonly #expired = new Set<Uid>();
  /** Pieces of work of a uid that wait or run: while there are any, its place is not certain. */
  readonly #unsettled = new Map<Uid, number>();
  /** Leaving in the batch that runs now. */
  #leaving: ReadonlySet<Uid> = new Set();
  /** A batch whose commit failed: whether it is on disk only the store knows. */
  #doubt: Plan | undefined;
  #closed = false;

  constructor(options: RegistryOptions) {
    this.#store = options.store;
    this.#signer = options.signer;
    this.#clock = options.clock ?? systemClock;
    this.#graceMs = options.graceMs ?? 30_000;
    this.#enrolmentCode = options.enrolmentCode ?? "";
    this.#maxRows = Math.min(options.maxRows ?? MAX_ROWS, MAX_ROWS);
    this.#onFault = options.onFault ?? (() => {});
    this.#directory = new Directory(this.#signer.key);
    this.#names.bind(this.#signer.key.uid, SERVER_NAME);
    this.#window = new BatchWindow({
      clock: this.#clock,
      windowMs: options.windowMs ?? 50,
      mostItems: BATCH_WORKS,
      run: (works) => this.#run(works),
    });
  }

  async start(): Promise<void> {
    this.#recover(await this.#store.load());
    if (this.#view) {
      for (const row of this.#directory.rows.slice(1)) this.absent(row.uid);
    } else {
      await this.#commit(this.#emptyPlan());
    }
  }

  view(): DirectoryView {
    return this.#view!;
  }

  rowOf(uid: Uid): Row | undefined {
    return this.#directory.rowOf(uid);
  }

  knows(uid: Uid): boolean {
    return uid !== this.#signer.key.uid && this.#names.nameOf(uid) !== undefined;
  }

  async join({ key, name, code }: JoinRequest): Promise<JoinOutcome> {
    if (this.#closed) throw closed();
    if (!isName(name)) return { refused: "name-bad" };
    const { uid } = key;
    if (!this.#unsettled.has(uid) && this.rowOf(uid)?.name === name) {
      this.#endGrace(uid);
      return { view: this.view() };
    }
    return new Promise((resolve, reject) => this.#add({ do: "join", uid, key, name, code, resolve, reject }));
  }

  leave(uid: Uid): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#endGrace(uid);
    return this.#leave(uid, false);
  }

  absent(uid: Uid): void {
    this.#beginGrace(uid, this.#graceMs);
  }

  present(uid: Uid): boolean {
    this.#endGrace(uid);
    return this.rowOf(uid) !== undefined && !this.#leaving.has(uid);
  }

  delta(fromEpoch: number): Buffer | undefined {
    const { signed, rows } = this.view();
    const kept = this.#deltas.get(fromEpoch);
    if (kept) return kept;
    const ops = this.#history.between(fromEpoch, signed.head.epoch, rows.length);
    if (!ops) return undefined;
    const delta = encodeDelta({ from: fromEpoch, signed, logPath: this.#pathOf(fromEpoch), ops });
    if (this.#deltas.size < DELTAS_KEPT) this.#deltas.set(fromEpoch, delta);
    return delta;
  }

  snapshot(lastEpoch: number, lastHash: Uint8Array): Snapshot {
    const view = this.view();
    const holdsNone = lastEpoch === 0 && equalBytes(lastHash, NO_HASH);
    const logPath = holdsNone ? NOTHING : this.#pathOf(lastEpoch);
    // LP(log path) ends step 2 and is all that differs from asker to asker (wire.md 1, CHANNEL).
    const step2 = [encodeStep2Head(view.signed, view.rows.length), this.#step2Rows.bytes, lp(logPath)];
    return { step2, step6: this.#step6Rows.bytes, view };
  }

  logPath(older: number, newer: number): Buffer | undefined {
    const held = older >= 0 && older < newer && newer <= this.view().signed.head.epoch;
    return held ? this.#log.path(older, newer) : undefined;
  }

  headHash(epoch: number): Buffer | undefined {
    return this.#hashes[epoch];
  }

  onChange(listener: (view: DirectoryView) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async release(name: string): Promise<Released> {
    if (this.#closed) throw closed();
    return new Promise((resolve, reject) => this.#add({ do: "release", name, resolve, reject }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#graces.values()) this.#clock.clearTimeout(timer);
    this.#graces.clear();
    await this.#window.drain();
    this.#listeners.clear();
  }

  #beginGrace(uid: Uid, graceMs: number): void {
    if (this.#closed) return;
    this.#endGrace(uid);
    const timer = this.#clock.setTimeout(() => {
      this.#graces.delete(uid);
      this.#expired.add(uid);
      void this.#leave(uid, true);
    }, graceMs);
    this.#graces.set(uid, timer);
  }

  #endGrace(uid: Uid): void {
    this.#clock.clearTimeout(this.#graces.get(uid));
    this.#graces.delete(uid);
    this.#expired.delete(uid);
  }

  #leave(uid: Uid, afterGrace: boolean): Promise<void> {
    return new Promise((resolve, reject) => this.#add({ do: "leave", uid, afterGrace, resolve, reject }));
  }

  #add(work: Work): void {
    if (work.do === "join") this.#endGrace(work.uid);
    if (work.do !== "release") this.#unsettled.set(work.uid, (this.#unsettled.get(work.uid) ?? 0) + 1);
    this.#window.add(work);
  }

  async #run(works: Work[]): Promise<void> {
    const before = this.#view;
    let fault: unknown;
    try {
      await this.#settleDoubt();
      const plan = this.#plan(works);
      if (plan.records.length > 0) await this.#commit(plan);
      for (const answer of plan.answers) answer();
    } catch (error) {
      fault = error;
    }
    this.#leaving = new Set();
    for (const work of works) if (work.do !== "release") this.#settle(work.uid);
    if (fault !== undefined) this.#fail(works, fault);
    if (this.#view !== before) for (const listener of this.#listeners) listener(this.view());
  }

  /** Judges the works one after the other, on a copy: each sees what those before it have done. */
  #plan(works: readonly Work[]): Plan {
    const plan = this.#emptyPlan();
    for (const work of works) {
      if (work.do === "join") this.#planJoin(plan, work);
      else if (work.do === "leave") this.#planLeave(plan, work);
      else this.#planRelease(plan, work);
    }
    this.#leaving = new Set(plan.records.filter(({ kind }) => kind === "leave").map(({ uid }) => uid));
    return plan;
  }

  #emptyPlan(): Plan {
    return { directory: this.#directory, names: new NameBook(this.#names), ops: [], records: [], answers: [] };
  }

  #planJoin(plan: Plan, { uid, key, name, code, resolve, reject }: JoinWork): void {
    const bound = plan.names.nameOf(uid);
    const refused =
      bound !== undefined
        ? bound !== name && "key-known"
        : // Before the names: a stranger without the code does not learn which ones there are.
          !this.#codeHolds(code)
          ? "code-bad"
          : !plan.names.isFree(name) && "name-taken";
    if (refused) {
      plan.answers.push(() => resolve({ refused }));
      return;
    }
    if (!plan.directory.rowOf(uid)) {
      if (plan.directory.rows.length >= this.#maxRows) {
        reject(new RegistryError("unavailable", `the directory is full: ${this.#maxRows} rows`));
        return;
      }
      this.#change(plan, { op: "append", row: { uid, name, key, flags: 0 } });
      if (bound === undefined) plan.names.bind(uid, name);
      plan.records.push({ kind: "join", uid, name, spki: key.spki });
    }
    plan.answers.push(() => resolve({ view: this.view() }));
  }

  #planLeave(plan: Plan, { uid, afterGrace, resolve }: LeaveWork): void {
    plan.answers.push(resolve);
    // Came back while its leave waited for this batch.
    if (afterGrace && !this.#expired.delete(uid)) return;
    this.#remove(plan, uid);
  }

  #planRelease(plan: Plan, { name, resolve }: ReleaseWork): void {
    const uid = plan.names.holderOf(name);
    if (uid === undefined || uid === this.#signer.key.uid) {
      plan.answers.push(() => resolve("unknown"));
      return;
    }
    const lineLost = this.#graces.has(uid) || this.#expired.has(uid);
    if (plan.directory.rowOf(uid) && !lineLost) {
      plan.answers.push(() => resolve("present"));
      return;
    }
    this.#remove(plan, uid);
    plan.names.release(uid);
    plan.records.push({ kind: "release", uid });
    plan.answers.push(() => resolve("released"));
  }

  #remove(plan: Plan, uid: Uid): void {
    const index = plan.directory.find(uid);
    if (index <= 0) return;
    this.#change(plan, { op: "leave", index });
    plan.records.push({ kind: "leave", uid });
  }

  #change(plan: Plan, op: Op): void {
    if (plan.ops.length === 0) plan.directory = this.#directory.clone();
    plan.directory.apply(op);
    plan.ops.push(op);
  }

  /** Signs, stores, and only then believes. */
  async #commit(plan: Plan): Promise<void> {
    if (plan.ops.length > 0 || !this.#view) {
      const head = nextHead(plan.directory, this.#log, this.#view?.signed, this.#clock.now());
      plan.signed = await this.#signer.sign(head);
    }
    const { records, signed } = plan;
    const head = signed && {
      epoch: signed.head.epoch,
      hash: signed.hash,
      bytes: signed.bytes,
      signature: signed.signature,
    };
    if (signed) this.#doubt = plan;
    await this.#store.commit(head ? { records, head } : { records });
    this.#doubt = undefined;
    this.#apply(plan);
  }

  #apply({ directory, names, ops, signed }: Plan): void {
    names.merge();
    if (!signed) return;
    this.#directory = directory;
    this.#view = { signed, rows: directory.rows };
    this.#log.append(logLeaf(signed));
    this.#hashes.push(signed.hash);
    this.#history.add(ops);
    this.#show(ops);
  }

  /** The directory is another one now. */
  #show(ops: readonly Op[]): void {
    this.#step2Rows.update(this.#directory, ops);
    this.#step6Rows.update(this.#directory, ops);
    this.#deltas.clear();
  }

  /** After a failed commit: a batch that is on disk all the same is true, for its epoch is used. @throws {StoreError} */
  async #settleDoubt(): Promise<void> {
    const plan = this.#doubt;
    if (!plan) return;
    const newest = await this.#store.newest();
    if (newest && equalBytes(newest.hash, plan.signed!.hash)) {
      this.#apply(plan);
      // Its joiners have been turned away; who has not come back since has no line.
      for (const { kind, uid } of plan.records) {
        if (kind === "join" && !this.#unsettled.has(uid)) this.absent(uid);
      }
    } else if (!newest || !equalBytes(newest.hash, this.view().signed.hash)) {
      throw new StoreError("conflict", "the stored heads are not those of this process: restart the server");
    }
    this.#doubt = undefined;
  }

  #fail(works: readonly Work[], cause: unknown): void {
    const error = new RegistryError("unavailable", "the batch could not be signed or stored", { cause });
    for (const work of works) {
      if (work.do !== "leave") {
        work.reject(error);
        continue;
      }
      work.resolve();
      if (!this.#unsettled.has(work.uid)) this.#beginGrace(work.uid, RETRY_MS);
    }
    this.#onFault(cause);
  }

  #settle(uid: Uid): void {
    const left = this.#unsettled.get(uid)! - 1;
    if (left > 0) this.#unsettled.set(uid, left);
    else this.#unsettled.delete(uid);
  }

  #codeHolds(code: string): boolean {
    if (this.#enrolmentCode === "") return true;
    return timingSafeEqual(hash("sha256", code, "buffer"), hash("sha256", this.#enrolmentCode, "buffer"));
  }

  /** Of an earlier head in the log of the newest; empty where `prev` says it all, and for someone ahead of us. */
  #pathOf(epoch: number): Buffer {
    const newest = this.view().signed.head.epoch;
    return epoch < newest - 1 ? this.#log.path(epoch, newest) : NOTHING;
  }

  /** @throws {StoreError} `broken`, `other-server` */
  #recover({ head, hashes, handsets }: StoredState): void {
    for (const { uid, name } of handsets) this.#names.bind(uid, name);
    if (!head) {
      if (hashes.length > 0 || handsets.length > 0) throw broken("it has handsets and no head");
      return;
    }
    let signed: SignedHead;
    try {
      const { server } = decodeHead(head.bytes);
      if (server !== this.#signer.key.uid) {
        throw new StoreError("other-server", "the stored directory belongs to another server key: bring that key back");
      }
      signed = this.#signer.read(head.bytes, head.signature);
      for (const { uid, name, spki, place } of handsets) {
        if (place !== undefined) this.#directory.append({ uid, name, key: new PublicKey(spki), flags: 0 });
      }
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      throw broken("its head or its rows cannot be read", cause);
    }
    const before = { hash: NO_HASH as Buffer };
    for (let at = 0; at < hashes.length - HASH_BYTES; at += HASH_BYTES) {
      before.hash = hashes.subarray(at, at + HASH_BYTES);
      this.#hashes.push(before.hash);
      this.#log.append(logLeaf(before));
    }
    // The head that these rows and this log would have is the one that was signed.
    const due = encodeHead(nextHead(this.#directory, this.#log, before, signed.head.timeMs));
    if (!equalBytes(due, signed.bytes) || !equalBytes(hashes.subarray(-HASH_BYTES), signed.hash)) {
      throw broken("its rows and its log are not those its head was signed for");
    }
    this.#hashes.push(signed.hash);
    this.#log.append(logLeaf(signed));
    this.#view = { signed, rows: this.#directory.rows };
    this.#history.restart(signed.head.epoch);
    this.#show([]);
  }
}

/** The changes of the last epochs, for deltas. */
class History {
  #epochs: Op[][] = [];
  /** The epoch that the first kept changes lead to. */
  #first = 0;
  #ops = 0;

  /** Earlier changes are not known. */
  restart(epoch: number): void {
    this.#first = epoch + 1;
  }

  add(ops: Op[]): void {
    this.#epochs.push(ops);
    this.#ops += ops.length;
    while (this.#epochs.length > DELTA_EPOCHS || this.#ops > DELTA_OPS) {
      this.#ops -= this.#epochs.shift()!.length;
      this.#first++;
    }
  }

  /** @returns nothing when some are not known any more, or when a snapshot of `rows` rows is shorter */
  between(from: number, to: number, rows: number): Op[] | undefined {
    if (!(from >= this.#first - 1 && from <= to)) return undefined;
    const ops = this.#epochs.slice(from + 1 - this.#first).flat();
    const appends = ops.filter(({ op }) => op === "append").length;
    return appends > Math.max(rows, ALWAYS_A_DELTA) ? undefined : ops;
  }
}

const NOTHING = Buffer.alloc(0);

/** What travels is in its one form already, and is not taken for the server's. */
function isName(name: string): boolean {
  try {
    skeleton(name);
    return parseName(name) === name;
  } catch (error) {
    if (error instanceof ProtocolError) return false;
    throw error;
  }
}

function closed(): RegistryError {
  return new RegistryError("closed", "the server is going down");
}

function broken(why: string, cause?: unknown): StoreError {
  return new StoreError("broken", `the stored directory cannot be used, ${why}: restore a backup`, { cause });
}

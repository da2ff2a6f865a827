/**
 * The thread that waits for the disk, so that the loop does not (performance.md 3): SQLite in WAL with
 * synchronous=FULL, one transaction per batch. Questions come and answers go one by one, in order.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { Uid } from "@feldfon/protocol/identity";
import { type StoredBatch, type StoredHandset, type StoredState, StoreError, type StoreFault } from "./store-port.ts";

export interface StoreWorkerData {
  path: string;
  /** Limit of the file in pages of 4,096 bytes; beyond it the disk counts as full. */
  maxPages: number | undefined;
}

export type StoreQuestion =
  | { id: number; ask: "load" }
  | { id: number; ask: "newest" }
  | { id: number; ask: "close" }
  | { id: number; ask: "commit"; batch: StoredBatch };

export type StoreAnswer =
  | { id: number; result: unknown }
  | { id: number; fault: { code: StoreFault; sentence: string } };

/** "FFdb", so that no other program's file is taken for ours. */
const APPLICATION_ID = 0x46466462;
const VERSION = 1;

const SCHEMA = `
  CREATE TABLE handset (
    uid   TEXT PRIMARY KEY,
    name  TEXT NOT NULL,
    spki  BLOB NOT NULL,
    place INTEGER UNIQUE             -- order of the rows; null while not in the directory
  ) STRICT;
  CREATE TABLE head (epoch INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
  CREATE TABLE newest (one INTEGER PRIMARY KEY CHECK (one = 1), head BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
`;

class Database {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #statements: Record<"join" | "leave" | "release" | "head" | "newest" | "epoch", StatementSync>;

  constructor({ path, maxPages }: StoreWorkerData) {
    this.#path = path;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#db = new DatabaseSync(path);
    // Exclusive: two servers on one directory would sign two heads of one epoch.
    this.#db.exec("PRAGMA locking_mode=EXCLUSIVE");
    // Before anything is written: WAL is a mark in the file, and another program's file is not ours to mark.
    const empty = this.#isEmpty();
    this.#db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    if (empty) this.#makeSchema();
    else this.#check();
    if (maxPages !== undefined) this.#db.exec(`PRAGMA max_page_count=${Math.trunc(maxPages)}`);
    this.#statements = {
      join: this.#db.prepare(`
        INSERT INTO handset (uid, name, spki, place)
        VALUES (?, ?, ?, (SELECT coalesce(max(place), 0) + 1 FROM handset))
        ON CONFLICT (uid) DO UPDATE SET name = excluded.name, spki = excluded.spki, place = excluded.place`),
      leave: this.#db.prepare("UPDATE handset SET place = NULL WHERE uid = ?"),
      release: this.#db.prepare("DELETE FROM handset WHERE uid = ?"),
      head: this.#db.prepare("INSERT INTO head (epoch, hash) VALUES (?, ?)"),
      newest: this.#db.prepare("INSERT OR REPLACE INTO newest (one, head, signature) VALUES (1, ?, ?)"),
      epoch: this.#db.prepare("SELECT epoch, hash FROM head ORDER BY epoch DESC LIMIT 1"),
    };
  }

  load(): StoredState {
    const heads = this.#db.prepare("SELECT epoch, hash FROM head ORDER BY epoch").all();
    if (heads.some((head, index) => head.epoch !== index || (head.hash as Uint8Array).length !== 32)) {
      throw this.#broken("its epochs have a gap");
    }
    const newest = this.#db.prepare("SELECT head, signature FROM newest").get();
    if ((newest === undefined) !== (heads.length === 0)) throw this.#broken("its newest head is missing");
    const handsets = this.#db.prepare("SELECT uid, name, spki, place FROM handset ORDER BY place IS NULL, place").all();
    return {
      head: newest && { bytes: bytesOf(newest.head), signature: bytesOf(newest.signature) },
      hashes: Buffer.concat(heads.map((head) => head.hash as Uint8Array)),
      handsets: handsets.map(
        (row): StoredHandset => ({
          uid: row.uid as Uid,
          name: row.name as string,
          spki: bytesOf(row.spki),
          place: (row.place as number | null) ?? undefined,
        }),
      ),
    };
  }

  newest(): { epoch: number; hash: Buffer } | undefined {
    const row = this.#statements.epoch.get();
    return row && { epoch: row.epoch as number, hash: bytesOf(row.hash) };
  }

  commit({ records, head }: StoredBatch): void {
    const statements = this.#statements;
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const next = (this.newest()?.epoch ?? -1) + 1;
      if (head && head.epoch !== next) {
        throw new StoreError("conflict", `${this.#path}: epoch ${head.epoch} came, ${next} is the next one`);
      }
      for (const record of records) {
        if (record.kind === "join") statements.join.run(record.uid, record.name, record.spki);
        else statements[record.kind].run(record.uid);
      }
      if (head) {
        statements.head.run(head.epoch, head.hash);
        statements.newest.run(head.bytes, head.signature);
      }
      this.#db.exec("COMMIT");
    } catch (error) {
      // A full disk has already rolled back.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** @throws {StoreError} `broken`, `version` when it is not empty and not ours */
  #isEmpty(): boolean {
    const id = this.#pragma("application_id");
    const version = this.#pragma("user_version");
    const tables = this.#db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get()?.tables;
    if (id === 0 && version === 0 && tables === 0) return true;
    if (id !== APPLICATION_ID) throw this.#broken("it is the file of another program");
    if (version !== VERSION) {
      throw new StoreError(
        "version",
        `${this.#path} has format ${version}, this server reads format ${VERSION}: run the server that made it`,
      );
    }
    return false;
  }

  #makeSchema(): void {
    this.#db.exec(
      `BEGIN IMMEDIATE; ${SCHEMA} PRAGMA application_id=${APPLICATION_ID}; PRAGMA user_version=${VERSION}; COMMIT`,
    );
  }

  #check(): void {
    const verdict = this.#db.prepare("PRAGMA quick_check(1)").get()?.quick_check;
    if (verdict !== "ok") throw this.#broken("SQLite finds it damaged");
  }

  #pragma(name: string): number {
    return this.#db.prepare(`PRAGMA ${name}`).get()?.[name] as number;
  }

  #broken(why: string): StoreError {
    return new StoreError("broken", `${this.#path} cannot be used, ${why}: ${WHAT_TO_DO}`);
  }
}

const WHAT_TO_DO = "restore a backup, or move it away and all handsets have to be pinned anew";

/** What SQLite said, in our words (https://www.sqlite.org/rescode.html). */
function storeFault(error: unknown, path: string): { code: StoreFault; sentence: string } {
  if (error instanceof StoreError) return { code: error.code, sentence: error.message };
  const { errcode, message } = error as { errcode?: number; message?: string };
  switch ((errcode ?? 0) & 0xff) {
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return { code: "in-use", sentence: `${path} is open in another process: only one server may run on it` };
    case 8: // SQLITE_READONLY
    case 14: // SQLITE_CANTOPEN
      return { code: "unreachable", sentence: `${path} cannot be opened for writing: check the folder and its owner` };
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return { code: "broken", sentence: `${path} is damaged or not a database: ${WHAT_TO_DO}` };
    case 13: // SQLITE_FULL
      return { code: "full", sentence: `no space left for ${path}: make room, the server goes on by itself` };
    default:
      return { code: errcode === undefined ? "unreachable" : "failed", sentence: `${path}: ${message ?? error}` };
  }
}

function bytesOf(value: unknown): Buffer {
  const bytes = value as Uint8Array;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const settings = workerData as StoreWorkerData;
let database: Database | undefined;

parentPort!.on("message", (question: StoreQuestion) => {
  let answer: StoreAnswer;
  try {
    answer = { id: question.id, result: answerTo(question) };
  } catch (error) {
    answer = { id: question.id, fault: storeFault(error, settings.path) };
  }
  parentPort!.postMessage(answer);
});

function answerTo(question: StoreQuestion): unknown {
  if (question.ask === "close") {
    database?.close();
    return;
  }
  database ??= new Database(settings);
  if (question.ask === "commit") return database.commit(question.batch);
  return question.ask === "load" ? database.load() : database.newest();
}

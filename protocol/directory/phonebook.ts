/**
 * The directory: who is here, in the order of their ids, and how it travels (wire.md 1 DIRECTORY and CHANNEL steps 2, 6).
 *
 *     row    uid (32) | LP(name, NFC) | LP(SPKI) | u32 flags          row 0 is the server, client id = row - 1
 *     leaf   H(00 | row)
 */
import { ByteReader, concat, lp, u8, u32, u64 } from "../bytes.ts";
import { HASH_BYTES, SIGNATURE_BYTES } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import { PublicKey, UID_BYTES, type Uid, uidBytes, uidFromBytes } from "../identity.ts";
import { LayeredMap } from "./layered-map.ts";
import { leafHash, logTree } from "./log.ts";
import { SeedTree } from "./merkle.ts";
import { lowerKey, parseName, SERVER_NAME } from "./names.ts";
import type { SignedHead } from "./tree-head.ts";

export { SERVER_NAME } from "./names.ts";

/** Bit 0 of a row's flags; the other bits are 0. */
export const FLAG_SERVER = 1;

export interface Row {
  uid: Uid;
  name: string;
  key: PublicKey;
  flags: number;
}

/** One change of the directory; a rename is a leave and an append. */
export type Op = { op: "leave"; index: number } | { op: "append"; row: Row };

export function encodeRow(row: Row): Buffer {
  return concat(uidBytes(row.uid), lp(Buffer.from(row.name)), lp(row.key.spki), u32(row.flags));
}

/** @throws {ProtocolError} `malformed`, `bad-row` (key), `name-bad` (not UTF-8) */
export function decodeRow(reader: ByteReader): Row {
  return { uid: readUid(reader), name: readName(reader), key: readKey(reader), flags: reader.u32() };
}

/** H(00 | row) */
export function leafOf(row: Row): Buffer {
  return leafHash(encodeRow(row));
}

/** Row 0 of the directory that this key's owner keeps. */
export function serverRow(key: PublicKey): Row {
  return { uid: key.uid, name: SERVER_NAME, key, flags: FLAG_SERVER };
}

/** The key as the seed's root takes it: base64 DER, what a PEM file has between its markers. */
export function keyText(key: PublicKey): string {
  return key.spki.toString("base64");
}

/** Rows with both roots kept up to date. Ids close up when a row goes; people are told apart by uid. */
export class Directory {
  #rows: Row[] = [];
  #byUid = new LayeredMap<Uid, Row>();
  #byName = new LayeredMap<string, Row>();
  #seedTree = new SeedTree();
  #leaves = logTree();

  /** Only the server is there yet. */
  constructor(serverKey: PublicKey) {
    this.#push(serverRow(serverKey));
  }

  /** Row 0 is the server, row i + 1 the client with id i. */
  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** @throws {ProtocolError} `bad-row` (uid, flags, or somebody who is there already), `name-bad`; nothing has changed then */
  append(row: Row): void {
    if (row.uid !== row.key.uid) throw new ProtocolError("bad-row", "a row came whose uid is not its key's");
    if (this.#byUid.has(row.uid)) throw new ProtocolError("bad-row", "a key came that is in the list already");
    if (row.flags !== 0) throw new ProtocolError("bad-row", `a row with flags ${row.flags} came, 0 was expected`);
    if (parseName(row.name) !== row.name) throw new ProtocolError("name-bad", "a name came that is not NFC");
    if (this.#byName.has(lowerKey(row.name))) {
      throw new ProtocolError("name-bad", "a name came that is in the list already");
    }
    this.#push(row);
  }

  /** Later rows move down by one. @throws {ProtocolError} `bad-row` for the server's row and for none */
  removeAt(index: number): Row {
    const row = index === 0 ? undefined : this.#rows[index];
    if (!row) throw new ProtocolError("bad-row", `row ${index} of ${this.#rows.length} was to leave`);
    this.#rows.splice(index, 1);
    this.#byUid.delete(row.uid);
    this.#byName.delete(lowerKey(row.name));
    this.#seedTree.removeAt(index);
    this.#leaves.removeAt(index);
    return row;
  }

  /** @returns the row that left or was appended. @throws {ProtocolError} as `append` and `removeAt` */
  apply(op: Op): Row {
    if (op.op === "leave") return this.removeAt(op.index);
    this.append(op.row);
    return op.row;
  }

  /** The seed's root, definition A, as 32 bytes. */
  seedRoot(): Buffer {
    return Buffer.from(this.#seedTree.root()!, "hex");
  }

  /** RFC 6962 root over the rows' leaves. */
  dirRoot(): Buffer {
    return this.#leaves.root()!;
  }

  leafAt(index: number): Buffer | undefined {
    return this.#leaves.leaf(index);
  }

  rowOf(uid: Uid): Row | undefined {
    return this.#byUid.get(uid);
  }

  /** @param name in any case */
  rowNamed(name: string): Row | undefined {
    return this.#byName.get(lowerKey(name));
  }

  /** @returns the row's index, -1 when there is none */
  find(uid: Uid): number {
    const row = this.#byUid.get(uid);
    return row ? this.#rows.indexOf(row) : -1;
  }

  /** @returns the client's id today; -1 for the server and for somebody who is not here */
  idOf(uid: Uid): number {
    return Math.max(this.find(uid) - 1, -1);
  }

  /** A copy that goes its own way. Rows, leaves and nodes are shared, so it costs no hash. */
  clone(): Directory {
    const copy = new Directory(this.#rows[0]!.key);
    copy.#rows = this.#rows.slice();
    copy.#byUid = this.#byUid.clone();
    copy.#byName = this.#byName.clone();
    copy.#seedTree = this.#seedTree.clone();
    copy.#leaves = this.#leaves.clone();
    return copy;
  }

  #push(row: Row): void {
    this.#seedTree.append(keyText(row.key));
    this.#leaves.append(leafOf(row));
    this.#byUid.set(row.uid, row);
    this.#byName.set(lowerKey(row.name), row);
    this.#rows.push(row);
  }
}

/** A head as it came: `readSignedHead` makes a signed head of it, or refuses it. */
export interface ReceivedHead {
  headBytes: Buffer;
  signature: Buffer;
}

/**
 * The change of the phonebook that a handset gets (connect 7, update 2).
 *
 *     u64 from | LP(HEAD) | signature (512) | LP(log path) | ops:  00 | u32 index   leave, ids close up
 *                                                                  01 | row         append at the end
 */
export interface Delta {
  /** The epoch the changes start from. */
  from: number;
  /** Of epoch `from` in the log of the head's epoch; empty unless that is more than one epoch later. */
  logPath: Buffer;
  ops: Op[];
}

export function encodeDelta({ from, signed, logPath, ops }: Delta & { signed: SignedHead }): Buffer {
  return concat(u64(from), lp(signed.bytes), signed.signature, lp(logPath), ...ops.map(encodeOp));
}

/** @throws {ProtocolError} `malformed`, `bad-row`, `name-bad` */
export function decodeDelta(bytes: Uint8Array): Delta & ReceivedHead {
  const reader = new ByteReader(bytes, "delta");
  const from = reader.u64();
  const received = readHead(reader);
  const logPath = reader.lp();
  const ops: Op[] = [];
  while (reader.left > 0) ops.push(readOp(reader));
  return { from, ...received, logPath, ops };
}

/** Connect, step 2: everything both roots are made of, without names. */
export interface Step2 {
  rows: { spki: Buffer; leaf: Buffer }[];
  /** Of the handset's last head; empty unless that is more than one epoch back. */
  logPath: Buffer;
}

/** The rows of a directory as step 2 shows them. */
export function step2Rows(directory: Directory): Step2["rows"] {
  return directory.rows.map((row, index) => ({ spki: row.key.spki, leaf: directory.leafAt(index)! }));
}

/** LP(HEAD) | signature (512) | u32 rows | rows x (LP(SPKI) | leaf (32)) | LP(log path) */
export function encodeStep2({ signed, rows, logPath }: Step2 & { signed: SignedHead }): Buffer {
  return concat(encodeStep2Head(signed, rows.length), ...rows.map(encodeStep2Row), lp(logPath));
}

/** Step 2 up to its rows. */
export function encodeStep2Head(signed: SignedHead, rows: number): Buffer {
  return concat(lp(signed.bytes), signed.signature, u32(rows));
}

export function encodeStep2Row({ spki, leaf }: Step2["rows"][number]): Buffer {
  return concat(u32(spki.length), spki, leaf);
}

/** @throws {ProtocolError} `malformed` */
export function decodeStep2(bytes: Uint8Array): Step2 & ReceivedHead {
  const reader = new ByteReader(bytes, "step 2");
  const received = readHead(reader);
  const count = reader.u32();
  const rows: Step2["rows"] = [];
  while (rows.length < count) rows.push({ spki: reader.lp(), leaf: reader.take(HASH_BYTES) });
  const logPath = reader.lp();
  reader.end();
  return { ...received, rows, logPath };
}

/** What step 6 adds to the keys of step 2. */
export type Step6Row = Omit<Row, "key">;

/** Connect, step 6: rows x (uid | LP(name) | u32 flags); step 2 has said how many. */
export function encodeStep6(rows: readonly Step6Row[]): Buffer {
  return concat(...rows.map(encodeStep6Row));
}

export function encodeStep6Row({ uid, name, flags }: Step6Row): Buffer {
  return concat(uidBytes(uid), lp(Buffer.from(name)), u32(flags));
}

/** @throws {ProtocolError} `malformed`, `name-bad` (not UTF-8) */
export function decodeStep6(bytes: Uint8Array): Step6Row[] {
  const reader = new ByteReader(bytes, "step 6");
  const rows: Step6Row[] = [];
  while (reader.left > 0) rows.push({ uid: readUid(reader), name: readName(reader), flags: reader.u32() });
  return rows;
}

function encodeOp(op: Op): Buffer {
  return op.op === "leave" ? concat(u8(0), u32(op.index)) : concat(u8(1), encodeRow(op.row));
}

function readOp(reader: ByteReader): Op {
  const kind = reader.u8();
  if (kind === 0) return { op: "leave", index: reader.u32() };
  if (kind === 1) return { op: "append", row: decodeRow(reader) };
  throw new ProtocolError("malformed", `delta: a change of kind ${kind}, 0 and 1 are known`);
}

function readHead(reader: ByteReader): ReceivedHead {
  return { headBytes: reader.lp(), signature: reader.take(SIGNATURE_BYTES) };
}

function readUid(reader: ByteReader): Uid {
  return uidFromBytes(reader.take(UID_BYTES));
}

/** The BOM is kept, so that it is judged like every other character. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function readName(reader: ByteReader): string {
  try {
    return utf8.decode(reader.lp());
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw new ProtocolError("name-bad", "a name came that is not UTF-8", { cause });
  }
}

function readKey(reader: ByteReader): PublicKey {
  return rowKey(reader.lp());
}

/** A key inside a list: one that is none spoils the row. @throws {ProtocolError} `bad-row` */
export function rowKey(spki: Uint8Array): PublicKey {
  try {
    return new PublicKey(spki);
  } catch (cause) {
    throw new ProtocolError("bad-row", "a row came without a canonical RSA-4096 key", { cause });
  }
}

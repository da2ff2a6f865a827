/**
 * The handset's verified copy of the directory: it believes nothing it has not recomputed (phone: connect 3 and 6, update;
 * design 4, Chain and Phonebook; wire.md 3, **Directory**).
 *
 *     step 2 --offer--> draft --complete (step 6)--> rows --applyDelta--> rows --applyDelta--> ..
 *
 * What comes is judged on a copy and taken whole or not at all. A head that was signed stays in memory even when the
 * rest of its message was refused: it is the server's word, and may convict it later.
 */
import { equalBytes } from "../bytes.ts";
import { ProtocolError } from "../errors.ts";
import type { PublicKey, Uid } from "../identity.ts";
import { contradict, HeadWitness, judgePath } from "./chain.ts";
import { EvidenceError, encodeEvidence } from "./evidence.ts";
import { logTree } from "./log.ts";
import { seedRoot } from "./merkle.ts";
import { lowerKey } from "./names.ts";
import {
  Directory,
  decodeDelta,
  decodeStep2,
  decodeStep6,
  keyText,
  leafOf,
  type ReceivedHead,
  type Row,
  rowKey,
  type Step2,
  serverRow,
} from "./phonebook.ts";
import { readSignedHead, type SignedHead } from "./tree-head.ts";

/** What a handset's owner is told after the phonebook has changed. The server and oneself are never among the rows. */
export interface Change {
  joined: Row[];
  left: Row[];
  /** One uid under another name. */
  renamed: { from: Row; to: Row }[];
  /** One name with another key: somebody else until its owner says otherwise. */
  rekeyed: { from: Row; to: Row }[];
  /** Undefined with the first phonebook after a start. */
  ownIdBefore: number | undefined;
  ownIdAfter: number;
  head: SignedHead;
}

/** The bytes do not go on from the epoch held here: nothing was taken, a snapshot helps. */
export interface Gap {
  gap: true;
}

/** Step 2, judged as far as it goes without names. */
interface Draft {
  signed: SignedHead;
  keys: PublicKey[];
  leaves: Buffer[];
}

/** Judges everything a handset may be told about the directory, and holds what stood the test. */
export class Follower {
  readonly #serverKey: PublicKey;
  readonly #own: Row;
  readonly #witness = new HeadWitness();
  #last: SignedHead | undefined;
  #directory: Directory | undefined;
  #draft: Draft | undefined;

  /**
   * @param last the head accepted last, as it was kept on disk (`readSignedHead`); nothing before the first connect
   * @throws {ProtocolError} `unauthentic` when it is another server's
   */
  constructor(known: {
    serverKey: PublicKey;
    own: { uid: Uid; name: string; key: PublicKey };
    last?: SignedHead | undefined;
  }) {
    this.#serverKey = known.serverKey;
    this.#own = { ...known.own, flags: 0 };
    this.#last = known.last;
    if (known.last && known.last.head.server !== known.serverKey.uid) {
      throw new ProtocolError("unauthentic", "the head on disk is another server's");
    }
    if (known.last) this.#witness.remember(known.last);
  }

  /** The head accepted last, whether or not its rows are here: what a join, a snapshot and a sync begin from. */
  get last(): SignedHead | undefined {
    return this.#last;
  }

  /** The head of the rows held; nothing until a first phonebook is complete. */
  get head(): SignedHead | undefined {
    return this.#directory && this.#last;
  }

  /** Row 0 is the server, row i + 1 the client with id i; none until a first phonebook is complete. */
  get rows(): readonly Row[] {
    return this.#directory?.rows ?? [];
  }

  get ownId(): number | undefined {
    return this.#directory?.idOf(this.#own.uid);
  }

  rowOf(uid: Uid): Row | undefined {
    return this.#directory?.rowOf(uid);
  }

  /** Ids close up: to be asked at the moment of dialling, and the uid kept. */
  uidOfId(id: number): Uid | undefined {
    return id >= 0 ? this.rows[id + 1]?.uid : undefined;
  }

  /** Whom these dialled digits name at this moment. */
  byDigits(digits: string): Row | undefined {
    return /^[0-9]+$/.test(digits) ? this.rows[Number(digits) + 1] : undefined;
  }

  /** The seed's root from nothing but the keys held, for the comparison of update 1.1. @returns 32 bytes */
  recomputeSeedRoot(): Buffer {
    const root = seedRoot(this.rows.map((row) => keyText(row.key)));
    if (root === undefined) throw new ProtocolError("out-of-order", "a root was wanted before the first phonebook");
    return Buffer.from(root, "hex");
  }

  /**
   * Connect, step 3: recomputes both roots, looks for the server and oneself in the list, and holds the head to the chain.
   *
   * @returns the head whose hash is the answer; it is accepted, and its rows held, with `complete`
   * @throws {ProtocolError} `malformed`, `unauthentic`, `epoch-back`, `two-heads`, `broken-chain`, `bad-row`, `wrong-root`,
   *     `server-not-in-list`, `not-in-list`
   */
  offer(step2: Uint8Array): { signed: SignedHead } {
    this.#draft = undefined;
    const received = decodeStep2(step2);
    const signed = this.#believe(received);
    this.#holdToChain(signed, received.logPath);
    const keys = received.rows.map((row) => rowKey(row.spki));
    const leaves = received.rows.map((row) => Buffer.from(row.leaf));
    checkRoots(signed, keys.length, seedRoot(keys.map(keyText)) ?? "", dirRootOf(leaves));
    this.#checkOwnAndServer(received.rows);
    this.#draft = { signed, keys, leaves };
    return { signed };
  }

  /**
   * Connect, step 6: names and flags, each row against its leaf of step 2. From here on the offered phonebook holds.
   *
   * @throws {ProtocolError} `out-of-order` without an offer, `malformed`, `bad-row`; the offer is spent then
   */
  complete(step6: Uint8Array): Change {
    return judgingRows(() => this.#complete(step6));
  }

  #complete(step6: Uint8Array): Change {
    const draft = this.#draft;
    this.#draft = undefined;
    if (!draft) throw new ProtocolError("out-of-order", "step 6 came without step 2");
    const rows = decodeStep6(step6);
    if (rows.length !== draft.keys.length) {
      throw new ProtocolError("malformed", `step 6: ${rows.length} rows came, step 2 had ${draft.keys.length}`);
    }
    const directory = new Directory(this.#serverKey);
    rows.forEach((part, index) => {
      const row: Row = { ...part, key: draft.keys[index]! };
      if (index > 0) directory.append(row);
      const leaf = index > 0 ? directory.leafAt(index)! : leafOf(row);
      if (!equalBytes(leaf, draft.leaves[index]!)) {
        throw new ProtocolError("bad-row", `row ${index} of step 6 is not the one whose leaf step 2 showed`);
      }
    });
    return this.#take(directory, draft.signed, [...this.rows, ...directory.rows]);
  }

  /**
   * Connect 7, update 2: changes since the epoch held.
   *
   * @returns a gap when the changes start later than that; the caller asks for a snapshot
   * @throws {ProtocolError} `malformed`, `unauthentic`, `epoch-back`, `two-heads`, `broken-chain`, `bad-row`,
   *     `wrong-root`, `not-in-list`; the phonebook is what it was
   */
  applyDelta(bytes: Uint8Array): Change | Gap {
    return judgingRows(() => this.#applyDelta(bytes));
  }

  #applyDelta(bytes: Uint8Array): Change | Gap {
    const delta = decodeDelta(bytes);
    const signed = this.#believe(delta);
    const { epoch } = signed.head;
    if (delta.from > epoch || (delta.from === epoch && delta.ops.length > 0)) {
      throw new ProtocolError("malformed", `a delta from epoch ${delta.from} to ${epoch} came`);
    }
    const held = this.head?.head.epoch;
    if (!this.#directory || held === undefined || delta.from > held) return { gap: true };
    if (delta.from < held) {
      throw new ProtocolError("broken-chain", `a delta from epoch ${delta.from} came, ${held} is held`);
    }
    this.#holdToChain(signed, delta.logPath);
    const directory = this.#directory.clone();
    const touched = delta.ops.map((op) => directory.apply(op));
    if (directory.rowOf(this.#own.uid)?.name !== this.#own.name) {
      throw new ProtocolError("not-in-list", "a delta came after which this handset is not in the list");
    }
    return this.#take(directory, signed, touched);
  }

  /**
   * Judges the head of the other handset of a call.
   *
   * @returns "older" or "newer" than one's own; evidence when the server should not have signed both
   */
  judgePeerHead(peer: SignedHead): "same" | "older" | "newer" | { evidence: Buffer } {
    const own = this.head;
    if (!own) throw new ProtocolError("out-of-order", "a call came before the first phonebook");
    const other = this.#contradicting(peer);
    if (other) return { evidence: encodeEvidence(this.#serverKey, [other, peer]) };
    this.#witness.remember(peer);
    if (peer.head.epoch === own.head.epoch) return "same";
    return peer.head.epoch < own.head.epoch ? "older" : "newer";
  }

  /** Judges the path by which the server links an older head to a newer one (wire.md 2, path). */
  checkPath(older: SignedHead, newer: SignedHead, path: Uint8Array): "linked" | { evidence: Buffer } | "malformed" {
    const verdict = judgePath(older, newer, path);
    return verdict === "unlinked" ? { evidence: this.#unlinked(older, newer, path) } : verdict;
  }

  /** A signature that holds, an epoch not behind the last one, and no other story heard before. */
  #believe(received: ReceivedHead): SignedHead {
    const signed = readSignedHead(received.headBytes, received.signature, this.#serverKey);
    const { epoch } = signed.head;
    const lastEpoch = this.#last?.head.epoch ?? 0;
    if (epoch < lastEpoch) {
      throw new ProtocolError("epoch-back", `a head of epoch ${epoch} came, ${lastEpoch} was accepted before`);
    }
    const other = this.#contradicting(signed);
    if (other) {
      const evidence = encodeEvidence(this.#serverKey, [other, signed]);
      if (other.head.epoch === epoch) {
        throw new EvidenceError("two-heads", `two signed heads of epoch ${epoch} differ`, evidence);
      }
      throw new EvidenceError("broken-chain", `the heads of epochs ${other.head.epoch} and ${epoch} part`, evidence);
    }
    this.#witness.remember(signed);
    return signed;
  }

  /** The last head is asked by itself: the witness may have forgotten it. */
  #contradicting(signed: SignedHead): SignedHead | undefined {
    return this.#last && contradict(this.#last, signed) ? this.#last : this.#witness.contradicting(signed);
  }

  /** Same and next epoch are linked by hash already (`#believe`) and bring no path; a later one has to show my head in its log. */
  #holdToChain(signed: SignedHead, path: Buffer): void {
    const last = this.#last;
    const wantsPath = last !== undefined && signed.head.epoch > last.head.epoch + 1;
    const verdict = wantsPath ? judgePath(last, signed, path) : path.length === 0 ? "linked" : "malformed";
    if (verdict === "malformed") {
      throw new ProtocolError(
        "malformed",
        `a log path of ${path.length} bytes came that fits no way from the last head`,
      );
    }
    if (verdict === "unlinked") {
      const evidence = this.#unlinked(last!, signed, path);
      throw new EvidenceError("broken-chain", "the log of the new head does not hold the last one", evidence);
    }
  }

  #uidsOfOthers(rows: readonly Row[]): Set<Uid> {
    const uids = new Set(rows.map((row) => row.uid));
    uids.delete(this.#serverKey.uid);
    uids.delete(this.#own.uid);
    return uids;
  }

  #unlinked(older: SignedHead, newer: SignedHead, path: Uint8Array): Buffer {
    return encodeEvidence(this.#serverKey, [older, newer], contradict(older, newer) ? undefined : Buffer.from(path));
  }

  #checkOwnAndServer(rows: Step2["rows"]): void {
    const isRow = (at: Step2["rows"][number] | undefined, row: Row) =>
      at !== undefined && equalBytes(at.spki, row.key.spki) && equalBytes(at.leaf, leafOf(row));
    if (!isRow(rows[0], serverRow(this.#serverKey))) {
      throw new ProtocolError("server-not-in-list", "row 0 is not the server whose key is pinned");
    }
    const own = rows.find((row) => equalBytes(row.spki, this.#own.key.spki));
    if (!isRow(own, this.#own)) {
      throw new ProtocolError("not-in-list", "this handset's key and name are not in the list");
    }
  }

  /** Compares with the signed roots, last of all, and takes over. @param touched rows that may have changed, at least */
  #take(directory: Directory, signed: SignedHead, touched: readonly Row[]): Change {
    checkRoots(signed, directory.rows.length, directory.seedRoot().toString("hex"), directory.dirRoot());
    const before = this.#directory;
    this.#directory = directory;
    this.#last = signed;
    this.#draft = undefined; // an offer made before would lead back
    return {
      ...difference(before, directory, this.#uidsOfOthers(touched)),
      ownIdBefore: before?.idOf(this.#own.uid),
      ownIdAfter: directory.idOf(this.#own.uid),
      head: signed,
    };
  }
}

function checkRoots({ head }: SignedHead, rows: number, seedRootDigits: string, dirRoot: Buffer | undefined): void {
  const same =
    rows === head.rows &&
    seedRootDigits === head.seedRoot.toString("hex") &&
    dirRoot !== undefined &&
    equalBytes(dirRoot, head.dirRoot);
  if (!same) throw new ProtocolError("wrong-root", "the list is not the one whose roots the server signed");
}

function dirRootOf(leaves: readonly Buffer[]): Buffer | undefined {
  const tree = logTree();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

function difference(
  before: Directory | undefined,
  after: Directory,
  uids: Iterable<Uid>,
): Pick<Change, "joined" | "left" | "renamed" | "rekeyed"> {
  const joined = new Map<string, Row>();
  const left = new Map<string, Row>();
  const renamed: Change["renamed"] = [];
  for (const uid of uids) {
    const [from, to] = [before?.rowOf(uid), after.rowOf(uid)];
    if (from && to && from.name !== to.name) renamed.push({ from, to });
    else if (to && !from) joined.set(lowerKey(to.name), to);
    else if (from && !to) left.set(lowerKey(from.name), from);
  }
  const rekeyed: Change["rekeyed"] = [];
  for (const [name, to] of joined) {
    const from = left.get(name);
    if (!from) continue;
    rekeyed.push({ from, to });
    joined.delete(name);
    left.delete(name);
  }
  return { joined: [...joined.values()], left: [...left.values()], renamed, rekeyed };
}

/** A name the list may not hold is the list's fault; `name-bad` is the word for one's own name (join). */
function judgingRows<Outcome>(judge: () => Outcome): Outcome {
  try {
    return judge();
  } catch (cause) {
    if (!(cause instanceof ProtocolError) || cause.code !== "name-bad") throw cause;
    throw new ProtocolError("bad-row", "a list came with a name that breaks the rules", { cause });
  }
}

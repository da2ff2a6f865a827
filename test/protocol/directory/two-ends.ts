/**
 * The server's end of the directory as the tests need it: it keeps every head and every change, may be forked into a
 * two-faced one, and signs with a real key. The handset's end is the real `Follower`.
 */
import { Follower } from "@feldfon/protocol/directory/follower";
import { MerkleLog } from "@feldfon/protocol/directory/log";
import {
  Directory,
  encodeDelta,
  encodeStep2,
  encodeStep6,
  type Op,
  type Row,
  step2Rows,
} from "@feldfon/protocol/directory/phonebook";
import { type Head, logLeaf, nextHead, type SignedHead, signHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair } from "@feldfon/protocol/vault";
import { testingVault } from "@feldfon/vault/testing";
import { testKeyPair } from "../../keys.ts";

const vault = testingVault();
export const NOTHING = Buffer.alloc(0);

/** Key pair 0 of the pool is the server's, 1 to `MEMBERS` belong to handsets, the last one to another server. */
export const MEMBERS = 9;
const pairs: KeyPair[] = [];
const keys: PublicKey[] = [];

/** To be awaited once before the tests of a file: fills the pool on the first run of a machine. */
export async function makeKeys(): Promise<void> {
  while (pairs.length < MEMBERS + 2) {
    const pair = await testKeyPair(vault, pairs.length);
    pairs.push(pair);
    keys.push(new PublicKey(pair.spki));
  }
}

export const serverKey = (): PublicKey => keys[0]!;
export const strangerKey = (): PublicKey => keys[MEMBERS + 1]!;

/** Member n, 1..MEMBERS, under a name of its own or another one. */
export function member(n: number, name = `Handset ${n}`): Row {
  const key = keys[n]!;
  return { uid: key.uid, name, key, flags: 0 };
}

export function join(n: number, name?: string): Op {
  return { op: "append", row: member(n, name) };
}

export class ServerEnd {
  directory: Directory;
  log = new MerkleLog();
  heads: SignedHead[] = [];
  /** Changes by the epoch they made. */
  ops: Op[][] = [];
  readonly #pair: KeyPair;

  private constructor(pair: KeyPair, key: PublicKey) {
    this.#pair = pair;
    this.directory = new Directory(key);
  }

  /** Epoch 0: the server alone. */
  static async start(): Promise<ServerEnd> {
    const server = new ServerEnd(pairs[0]!, keys[0]!);
    await server.change();
    return server;
  }

  /** Another server, with its own key. */
  static async stranger(): Promise<ServerEnd> {
    const server = new ServerEnd(pairs[MEMBERS + 1]!, strangerKey());
    await server.change();
    return server;
  }

  get head(): SignedHead {
    return this.heads.at(-1)!;
  }

  get epoch(): number {
    return this.heads.length - 1;
  }

  leave(n: number): Op {
    return { op: "leave", index: this.directory.find(keys[n]!.uid) };
  }

  /** One new epoch. @param lie changes the head before it is signed */
  async change(...ops: Op[]): Promise<SignedHead> {
    return this.changeAnd({}, ...ops);
  }

  async changeAnd(lie: Partial<Head>, ...ops: Op[]): Promise<SignedHead> {
    for (const op of ops) this.directory.apply(op);
    const head = nextHead(this.directory, this.log, this.heads.at(-1), 1_700_000_000_000 + this.heads.length);
    return this.append(await signHead(vault, this.#pair, { ...head, ...lie }), ops);
  }

  append(signed: SignedHead, ops: Op[] = []): SignedHead {
    this.heads.push(signed);
    this.log.append(logLeaf(signed));
    this.ops.push(ops);
    return signed;
  }

  /** The same head under another signature. */
  async signAgain(): Promise<SignedHead> {
    return signHead(vault, this.#pair, this.head.head);
  }

  /** From here on two servers with one key: the two faces. */
  fork(): ServerEnd {
    const copy = new ServerEnd(this.#pair, this.directory.rows[0]!.key);
    copy.directory = this.directory.clone();
    for (const signed of this.heads) copy.log.append(logLeaf(signed));
    copy.heads = [...this.heads];
    copy.ops = [...this.ops];
    return copy;
  }

  /** What links the head of an epoch to the newest one, as deltas and step 2 carry it. */
  logPath(from: number | undefined): Buffer {
    return from === undefined || from + 1 >= this.epoch ? NOTHING : this.path(from);
  }

  path(older: number, newer = this.epoch): Buffer {
    return this.log.path(older, newer);
  }

  delta(from: number, other: Partial<{ signed: SignedHead; logPath: Buffer; ops: Op[] }> = {}): Buffer {
    return encodeDelta({
      from,
      signed: this.head,
      logPath: this.logPath(from),
      ops: this.ops.slice(from + 1).flat(),
      ...other,
    });
  }

  /** @param last epoch of the handset's last head, if it has one */
  step2(last?: number, other: Partial<Parameters<typeof encodeStep2>[0]> = {}): Buffer {
    return encodeStep2({
      signed: this.head,
      rows: step2Rows(this.directory),
      logPath: this.logPath(last),
      ...other,
    });
  }

  step6(): Buffer {
    return encodeStep6(this.directory.rows);
  }
}

/** A handset of member n, as it is after switching on. */
export function follower(n: number, last?: SignedHead): Follower {
  return new Follower({ serverKey: serverKey(), own: member(n), last });
}

/** The same after connect 2 to 6. */
export function connected(server: ServerEnd, n: number): Follower {
  const handset = follower(n);
  handset.offer(server.step2());
  handset.complete(server.step6());
  return handset;
}

/** Everything of a handset that a refused message must leave as it was. */
export function stateOf(handset: Follower): unknown {
  return {
    head: handset.head?.hash.toString("hex"),
    last: handset.last?.hash.toString("hex"),
    rows: handset.rows.map(({ uid, name, flags }) => ({ uid, name, flags })),
    ownId: handset.ownId,
  };
}

/** Each byte turned once, one at a time, in a copy. */
export function* flips(bytes: Buffer): Generator<{ at: number; flipped: Buffer }> {
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at % 8);
    yield { at, flipped };
  }
}

/** For `assert.throws`. */
export function withCode(...codes: string[]): (error: unknown) => boolean {
  return (error) => error instanceof Error && "code" in error && codes.includes(error.code as string);
}

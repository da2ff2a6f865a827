/**
 * The server's signatures: heads one by one, M3 by the batch. Each costs a private operation of milliseconds beside
 * the loop; a Merkle tree over the waiting leaves lets many clients share one (design 3, performance.md 2.2).
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { signBatch } from "@feldfon/protocol/channel/batch";
import { type Head, readSignedHead, type SignedHead, signHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { BatchWindow } from "./batch-window.ts";
import { type Clock, systemClock } from "./clock.ts";

/** Leaves of one tree (wire.md 3, Channel). */
export const MOST_LEAVES = 65_536;
/** While few come, a client waits at most this long for its proof (design 3). */
export const MAX_WINDOW_MS = 50;

/** Each costs about 0.1 ms; others have something to say meanwhile. */
const LEAVES_A_TURN = 8;

/** Whoever signs the registry's heads. */
export interface HeadSigner {
  readonly key: PublicKey;
  sign(head: Head): Promise<SignedHead>;
  /** A head as it was stored. @throws {ProtocolError} `unauthentic`, `malformed` */
  read(bytes: Buffer, signature: Buffer): SignedHead;
}

export function headSigner(vault: Vault, keyPair: KeyPair): HeadSigner {
  const key = new PublicKey(keyPair.spki);
  return {
    key,
    sign: (head) => signHead(vault, keyPair, head),
    read: (bytes, signature) => readSignedHead(bytes, signature, key),
  };
}

export interface BatchSignerOptions {
  vault: Vault;
  keyPair: KeyPair;
  clock?: Clock;
  /** At most 50. */
  windowMs?: number;
  /** Signs the leaves and gives each its M3; a test may look in here. */
  signLeaves?: (leaves: Buffer[]) => Promise<Buffer[]>;
}

/** @returns undefined when the client has gone meanwhile; what it throws is told to this client alone */
export type LeafOf = () => Buffer | undefined;

interface Waiting {
  leafOf: LeafOf;
  resolve(m3: Buffer | undefined): void;
  reject(error: unknown): void;
}

/**
 * channel: M3. At once when idle, else one signature per window. The leaves are made then too, one behind the other:
 * what they need of code and tables is in the processor's caches from the second on.
 */
export class BatchSigner {
  readonly #window: BatchWindow<Waiting>;
  readonly #signLeaves: (leaves: Buffer[]) => Promise<Buffer[]>;

  constructor({ vault, keyPair, clock = systemClock, windowMs = MAX_WINDOW_MS, signLeaves }: BatchSignerOptions) {
    this.#signLeaves = signLeaves ?? ((leaves) => signBatch(vault, keyPair, leaves));
    this.#window = new BatchWindow({
      clock,
      windowMs: Math.min(windowMs, MAX_WINDOW_MS),
      mostItems: MOST_LEAVES,
      run: (waiting) => this.#run(waiting),
    });
  }

  /** Clients that wait for the next signature. */
  get waiting(): number {
    return this.#window.waiting;
  }

  /** @returns M3, 1,032 bytes. @throws {VaultError} the same for everyone in the batch; what `leafOf` throws */
  sign(leafOf: LeafOf): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => this.#window.add({ leafOf, resolve, reject }));
  }

  /** Signs what waits. */
  close(): Promise<void> {
    return this.#window.drain();
  }

  async #run(waiting: Waiting[]): Promise<void> {
    const ready: { leaf: Buffer; client: Waiting }[] = [];
    for (const [at, client] of waiting.entries()) {
      if (at > 0 && at % LEAVES_A_TURN === 0) await nextTurn();
      try {
        const leaf = client.leafOf();
        if (leaf) ready.push({ leaf, client });
        else client.resolve(undefined);
      } catch (error) {
        client.reject(error);
      }
    }
    if (ready.length === 0) return;
    try {
      const proofs = await this.#signLeaves(ready.map(({ leaf }) => leaf));
      for (const [index, { client }] of ready.entries()) client.resolve(proofs[index]!);
    } catch (error) {
      for (const { client } of ready) client.reject(error);
    }
  }
}

/**
 * The server's signatures: heads one by one, M3 by the batch. Each costs a private operation of milliseconds beside
 * the loop; a Merkle tree over the waiting leaves lets many clients share one (design 3, performance.md 2.2).
 */
import { signBatch } from "@feldfon/protocol/channel/batch";
import { type Head, readSignedHead, type SignedHead, signHead } from "@feldfon/protocol/directory/tree-head";
import { PublicKey } from "@feldfon/protocol/identity";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import { BatchWindow } from "./batch-window.ts";
import { type Clock, systemClock } from "./clock.ts";

/** Leaves of one tree (wire.md 3, Channel). */
export const MOST_LEAVES = 65_536;
/** A client waits at most this long for its proof (design 3). */
export const MAX_WINDOW_MS = 50;

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

interface Waiting {
  leaf: Buffer;
  resolve(m3: Buffer): void;
  reject(error: unknown): void;
}

/** channel: M3. At once when idle, else one signature per window. */
export class BatchSigner {
  readonly #window: BatchWindow<Waiting>;

  constructor({ vault, keyPair, clock = systemClock, windowMs = MAX_WINDOW_MS, signLeaves }: BatchSignerOptions) {
    const sign = signLeaves ?? ((leaves) => signBatch(vault, keyPair, leaves));
    this.#window = new BatchWindow({
      clock,
      windowMs: Math.min(windowMs, MAX_WINDOW_MS),
      mostItems: MOST_LEAVES,
      run: async (waiting) => {
        try {
          const proofs = await sign(waiting.map(({ leaf }) => leaf));
          for (const [index, { resolve }] of waiting.entries()) resolve(proofs[index]!);
        } catch (error) {
          for (const { reject } of waiting) reject(error);
        }
      },
    });
  }

  /** Leaves that wait for the next signature. */
  get waiting(): number {
    return this.#window.waiting;
  }

  /** @returns M3, 1,032 bytes. @throws {VaultError} the same for everyone in the batch */
  sign(leaf: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => this.#window.add({ leaf, resolve, reject }));
  }

  /** Signs what waits. */
  close(): Promise<void> {
    return this.#window.drain();
  }
}

/**
 * What the vault keeps, by handle: the handle itself is an empty frozen object that shows nothing when it is printed,
 * copied or sent, and only the table that gave it out knows what belongs to it.
 */
import { randomFillSync } from "node:crypto";
import { VaultError } from "@feldfon/protocol/errors";
import type { SlotUse } from "@feldfon/protocol/vault";

/** A secret in a slot. */
export interface SlotContent {
  readonly use: SlotUse;
  /** Never a piece of Node's shared buffer pool, whose memory other buffers show as their `.buffer`. */
  readonly bytes: Buffer;
  /** The lowest counter that may still come. */
  counter: number;
  /** Set once SRTP has taken the slot over; from then on it serves nothing else. */
  media?: { close(): void };
}

export class HandleTable<Content extends object> {
  readonly #contents = new WeakMap<object, Content>();
  readonly #living = new Set<Content>();
  readonly #erase: (content: Content) => void;

  constructor(erase: (content: Content) => void) {
    this.#erase = erase;
  }

  get size(): number {
    return this.#living.size;
  }

  put<Handle extends object>(handle: Handle, content: Content): Handle {
    this.#contents.set(handle, content);
    this.#living.add(content);
    return handle;
  }

  /** @throws {VaultError} `no-such-slot` for what this vault never gave out, `empty-slot` after wiping */
  get(handle: object): Content {
    const content = this.#contents.get(handle);
    if (!content) throw new VaultError("no-such-slot", "a handle came that this vault did not give out");
    if (!this.#living.has(content))
      throw new VaultError("empty-slot", "the handle was used after its secret was wiped");
    return content;
  }

  /** @returns false for a handle of somebody else */
  wipe(handle: object): boolean {
    const content = this.#contents.get(handle);
    if (content && this.#living.delete(content)) this.#erase(content);
    return content !== undefined;
  }

  wipeAll(): void {
    for (const content of this.#living) this.#erase(content);
    this.#living.clear();
  }
}

export function eraseSlot(content: SlotContent): void {
  content.media?.close();
  overwrite(content.bytes);
}

/** Random bytes for `overwrite`, drawn by the block: a draw of 44 bytes costs as much as one of thousands. */
const noise = Buffer.alloc(4_096);
let noiseUsed = noise.length;

/** Several passes, as the seed asks (seed 003: SecureVault.wipe); for memory the first would do. */
export function overwrite(bytes: Buffer): void {
  bytes.fill(0xff);
  bytes.fill(0);
  for (let at = 0; at < bytes.length; ) {
    if (noiseUsed === noise.length) {
      randomFillSync(noise);
      noiseUsed = 0;
    }
    const copied = noise.copy(bytes, at, noiseUsed);
    noiseUsed += copied;
    at += copied;
  }
  bytes.fill(0);
}

/** A copy with memory of its own. */
export function ownCopy(bytes: Uint8Array): Buffer {
  const copy = Buffer.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}

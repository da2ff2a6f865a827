/**
 * What is left of a channel whose line was lost: enough to open the next one without RSA, once (wire.md 1, resume).
 *
 *     rm = KDF("resume mac", th, 32; j)    rk = KDF("resume key", th, 32; j)    id = MAC("resume id", th; rm)[0..15]
 *
 * A ticket lives 30 s (the caller's clock) and goes at the first valid MAC. It knows whom it was made with.
 */
import { kdf, mac, macHolds } from "../crypto/transcript.ts";
import { ProtocolError } from "../errors.ts";
import type { Uid } from "../identity.ts";
import type { Slot, Vault } from "../vault.ts";

export const RESUME_ID_BYTES = 16;
const KEY_BYTES = 32;

/** One end's half of a ticket: its keys by handle, and the id by which the other end finds the same. */
export class ResumeTicket {
  /** Names the ticket in R1, in clear. Tells nothing about its keys. */
  readonly id: Buffer;
  /** Proven uid of the other end of the lost line. */
  readonly peer: Uid;
  readonly #vault: Vault;
  readonly #macKey: Slot<"mac">;
  readonly #resumeKey: Slot<"derive">;
  #spent = false;

  /** @param j the lost line's joined secret; stays the caller's */
  constructor(vault: Vault, peer: Uid, th: Uint8Array, j: Slot<"derive">) {
    this.#vault = vault;
    this.peer = peer;
    this.#macKey = kdf(vault, "mac", "resume mac", th, KEY_BYTES, j);
    try {
      this.#resumeKey = kdf(vault, "derive", "resume key", th, KEY_BYTES, j);
    } catch (error) {
      vault.wipe(this.#macKey);
      throw error;
    }
    this.id = mac(vault, this.#macKey, "resume id", th).subarray(0, RESUME_ID_BYTES);
  }

  get spent(): boolean {
    return this.#spent;
  }

  /** rk, to be joined with fresh secrets. Stays the ticket's. @throws {ProtocolError} `unknown-resume` */
  get resumeKey(): Slot<"derive"> {
    this.#mustBeGood();
    return this.#resumeKey;
  }

  /** MAC under rm. @throws {ProtocolError} `unknown-resume` when the ticket has served or was wiped */
  mac(word: string, t: Uint8Array): Buffer {
    this.#mustBeGood();
    return mac(this.#vault, this.#macKey, word, t);
  }

  /** @throws {ProtocolError} `unknown-resume` when the ticket has served or was wiped */
  macHolds(word: string, t: Uint8Array, tag: Uint8Array): boolean {
    this.#mustBeGood();
    return macHolds(this.#vault, this.#macKey, word, t, tag);
  }

  /** Wiping twice is harmless. */
  wipe(): void {
    this.#spent = true;
    this.#vault.wipe(this.#macKey, this.#resumeKey);
  }

  #mustBeGood(): void {
    if (this.#spent) throw new ProtocolError("unknown-resume", "the resume ticket has served or was wiped");
  }
}

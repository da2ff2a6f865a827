/**
 * A follower that takes the server's word: it recomputes no root, so that one process can hold thousands of handsets.
 *
 * Only what a handset spends on itself is missing; the server sees and sends the same bytes. Where the directory itself
 * is on trial (churn, faults) the real follower is used.
 */

import { ByteReader } from "@feldfon/protocol/bytes";
import { SIGNATURE_BYTES } from "@feldfon/protocol/crypto/transcript";
import { type Change, Follower, type Gap } from "@feldfon/protocol/directory/follower";
import type { ReceivedHead } from "@feldfon/protocol/directory/phonebook";
import { decodeHead, headHash, type SignedHead } from "@feldfon/protocol/directory/tree-head";

export class TrustingFollower extends Follower {
  #held: SignedHead | undefined;
  #offered: SignedHead | undefined;

  override get last(): SignedHead | undefined {
    return this.#held;
  }

  override get head(): SignedHead | undefined {
    return this.#held;
  }

  override offer(step2: Uint8Array): { signed: SignedHead } {
    const reader = new ByteReader(step2, "step 2");
    const signed = taken({ headBytes: reader.lp(), signature: reader.take(SIGNATURE_BYTES) });
    this.#offered = signed;
    return { signed };
  }

  override complete(): Change {
    return this.#hold(this.#offered!);
  }

  override applyDelta(bytes: Uint8Array): Change | Gap {
    const reader = new ByteReader(bytes, "delta");
    const from = reader.u64();
    const signed = taken({ headBytes: reader.lp(), signature: reader.take(SIGNATURE_BYTES) });
    if (!this.#held || from > this.#held.head.epoch) return { gap: true };
    return this.#hold(signed);
  }

  #hold(head: SignedHead): Change {
    this.#held = head;
    return { joined: [], left: [], renamed: [], rekeyed: [], ownIdBefore: undefined, ownIdAfter: 0, head };
  }
}

/** A copy: what arrived is a piece of a frame of megabytes. */
function taken({ headBytes, signature }: ReceivedHead): SignedHead {
  const bytes = Buffer.from(headBytes);
  return { head: decodeHead(bytes), bytes, hash: headHash(bytes), signature: Buffer.from(signature) };
}

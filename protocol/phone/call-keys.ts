/**
 * The keys of one call: made from both handsets' exchange and the server's one-time secret, so that the server's part
 * is needed and useless to the server (wire.md 1, CALL: keys).
 */
import { kdf, mac, macHolds } from "../crypto/transcript.ts";
import type { Slot, Vault } from "../vault.ts";

export type Party = "A" | "B";

const SECRET_BYTES = 32;
const STREAM_BYTES = 44;

export interface CallKeys {
  /** TH = T("call", I, R, k) */
  th: Buffer;
  /** MACs of the caller and of the callee. */
  confirm: { A: Slot<"mac">; B: Slot<"mac"> };
  media: { send: Slot<"packet-seal">; receive: Slot<"packet-open"> };
  way: { send: Slot<"packet-seal">; receive: Slot<"packet-open"> };
}

/** Takes over and wipes what it is given. */
export function deriveCallKeys(
  vault: Vault,
  own: Party,
  th: Buffer,
  kem: Slot<"derive">,
  x25519: Slot<"derive">,
  brokered: Slot<"derive">,
): CallKeys {
  let master: Slot<"derive"> | undefined;
  try {
    master = kdf(vault, "derive", "call", th, SECRET_BYTES, kem, x25519, brokered);
    const peer: Party = own === "A" ? "B" : "A";
    return {
      th,
      confirm: {
        A: kdf(vault, "mac", "confirm A", th, SECRET_BYTES, master),
        B: kdf(vault, "mac", "confirm B", th, SECRET_BYTES, master),
      },
      media: {
        send: kdf(vault, "packet-seal", `media ${own}`, th, STREAM_BYTES, master),
        receive: kdf(vault, "packet-open", `media ${peer}`, th, STREAM_BYTES, master),
      },
      way: {
        send: kdf(vault, "packet-seal", `way ${own}`, th, STREAM_BYTES, master),
        receive: kdf(vault, "packet-open", `way ${peer}`, th, STREAM_BYTES, master),
      },
    };
  } finally {
    vault.wipe(master, kem, x25519, brokered);
  }
}

/** What voice and addresses were sealed with; the confirm keys stay until both sides have said goodbye. */
export function wipeMedia(vault: Vault, keys: CallKeys): void {
  vault.wipe(keys.media.send, keys.media.receive, keys.way.send, keys.way.receive);
}

export function wipeCallKeys(vault: Vault, keys: CallKeys): void {
  wipeMedia(vault, keys);
  vault.wipe(keys.confirm.A, keys.confirm.B);
}

export function callMac(vault: Vault, keys: CallKeys, word: "ack" | "bye" | "gone", sender: Party): Buffer {
  return mac(vault, keys.confirm[sender], word, keys.th);
}

export function callMacHolds(
  vault: Vault,
  keys: CallKeys,
  word: "ack" | "bye" | "gone",
  sender: Party,
  tag: Uint8Array | undefined,
): boolean {
  return tag !== undefined && macHolds(vault, keys.confirm[sender], word, keys.th, tag);
}

/** How a call's media slots become packets (wire.md 1, VOICE). */
import { labelled } from "../crypto/transcript.ts";
import type { MediaProfile } from "../vault.ts";
import { SSRC } from "./packet.ts";

/**
 * The profile of one direction of one call; the ratchet inside the vault is mk_X = KDF("ratchet X", TH, 44; mk_X).
 *
 * @param th T("call", I, R, k)
 * @param sender X: who speaks in this direction, A is the caller
 */
export function mediaProfile(th: Uint8Array, sender: "A" | "B"): MediaProfile {
  return { ssrc: SSRC[sender], ratchet: { salt: th, info: labelled(`ratchet ${sender}`, th) } };
}

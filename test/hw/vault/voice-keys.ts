/** The masters of one direction of a call, turned on by node:crypto alone, for tests that begin in the middle. */
import { hkdfSync } from "node:crypto";
import type { MediaProfile } from "@feldfon/protocol/vault";

export const PROFILE: MediaProfile = {
  ssrc: 1,
  ratchet: { salt: Buffer.alloc(32, 0x7e), info: Buffer.from("feldfon/1 ratchet A\0transcript") },
};

const masters = [Buffer.from(Array.from({ length: 44 }, (_, at) => at * 5))];

/** @returns key 32 | salt 12 of that epoch */
export function masterOfEpoch(epoch: number): Buffer {
  while (masters.length <= epoch) {
    const { salt, info } = PROFILE.ratchet;
    masters.push(Buffer.from(hkdfSync("sha256", masters.at(-1)!, salt, info, 44)));
  }
  return masters[epoch]!;
}

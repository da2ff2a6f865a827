/** PINs for tests, and what typing them costs there. */
import type { Vault } from "@feldfon/protocol/vault";

export const PIN = "480173";
export const OTHER = "480174";
export const DURESS = "9999991";
/** The least Argon2id takes with one lane. */
export const CHEAP = { memoryKiB: 8, passes: 1 };

export function type(vault: Vault, pin: string): void {
  vault.pinClear();
  for (const digit of pin) vault.pinPush(Number(digit));
}

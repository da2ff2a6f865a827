/** A PIN on its way in: digits typed now, and the first entry while it is typed a second time. */
import { timingSafeEqual } from "node:crypto";
import { VaultError } from "@feldfon/protocol/errors";
import { overwrite } from "./handles.ts";

export const PIN_DIGITS_LEAST = 6;
export const PIN_DIGITS_MOST = 12;

/** ASCII digits, zeros behind them. */
interface Entry {
  readonly digits: Buffer;
  count: number;
}

export class Pin {
  readonly #typed: Entry = { digits: Buffer.alloc(PIN_DIGITS_MOST), count: 0 };
  readonly #kept: Entry = { digits: Buffer.alloc(PIN_DIGITS_MOST), count: 0 };

  get digits(): number {
    return this.#typed.count;
  }

  push(digit: number): number {
    if (!Number.isInteger(digit) || digit < 0 || digit > 9) {
      throw new VaultError("bad-digit", "a digit of a PIN is a number from 0 to 9");
    }
    if (this.#typed.count < PIN_DIGITS_MOST) this.#typed.digits[this.#typed.count++] = 0x30 + digit;
    return this.#typed.count;
  }

  pop(): number {
    if (this.#typed.count > 0) this.#typed.digits[--this.#typed.count] = 0;
    return this.#typed.count;
  }

  keep(): void {
    this.#typed.digits.copy(this.#kept.digits);
    this.#kept.count = this.#typed.count;
    forget(this.#typed);
  }

  matchesKept(): boolean {
    const matches = this.#kept.count > 0 && timingSafeEqual(this.#typed.digits, this.#kept.digits);
    forget(this.#kept);
    if (!matches) forget(this.#typed);
    return matches;
  }

  clear(): void {
    forget(this.#typed);
    forget(this.#kept);
  }

  /** Uses the digits up. @returns a copy, the caller's to overwrite. @throws {VaultError} `short-pin` */
  take(): Buffer {
    const taken = Buffer.alloc(this.#typed.count);
    this.#typed.digits.copy(taken);
    this.clear();
    if (taken.length >= PIN_DIGITS_LEAST) return taken;
    overwrite(taken);
    throw new VaultError("short-pin", "a PIN has 6 to 12 digits");
  }
}

function forget(entry: Entry): void {
  overwrite(entry.digits);
  entry.count = 0;
}

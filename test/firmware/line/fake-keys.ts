/** A key store and a vault's pin pad in a test's hand: digits, tries, waits and both ends of a key, without any file. */
import type { Attempt } from "@feldfon/firmware/line/key-store";
import type { KeysAtRest, LockVault } from "@feldfon/firmware/line/lock";
import { VaultError } from "@feldfon/protocol/errors";
import type { KeyPair } from "@feldfon/protocol/vault";

/** After none, one, two .. wrong ones in a row, in seconds. */
const WAITS_S = [0, 0, 0, 30, 300];
const LONGEST_WAIT_S = 3_600;
const TRIES = 10;

export class FakeKeys implements KeysAtRest, LockVault {
  readonly device = "none";
  readonly withPin: boolean;
  wiped = false;
  kind: KeysAtRest["kind"];
  /** Made so far; the last one is on the card. */
  made = 0;
  /** Key pairs that lie open in the vault. */
  open = new Set<KeyPair>();
  /** Thrown by the next call that works with the card. */
  fails: Error | undefined;
  wrong = 0;
  waitedS = 0;
  #typed = "";
  #kept: string | undefined;
  #pin = "";
  #duress: string | undefined;

  /** @param pin of a key that is there already */
  constructor(withPin: boolean, kind: KeysAtRest["kind"] = "none", pin = "") {
    this.withPin = withPin;
    this.kind = kind;
    this.#pin = pin;
    if (kind !== "none") this.made = 1;
  }

  get tries(): { left: number; waitS: number } {
    const waitS = WAITS_S[this.wrong] ?? LONGEST_WAIT_S;
    return { left: TRIES - this.wrong, waitS: Math.max(0, waitS - this.waitedS) };
  }

  /** What the vault holds, for a test to see that nothing stays. */
  get held(): string {
    return `${this.#typed}${this.#kept ?? ""}`;
  }

  pinPush(digit: number): number {
    if (this.#typed.length < 12) this.#typed += digit;
    return this.#typed.length;
  }

  pinPop(): number {
    this.#typed = this.#typed.slice(0, -1);
    return this.#typed.length;
  }

  pinClear(): void {
    this.#typed = "";
    this.#kept = undefined;
  }

  pinKeep(): void {
    this.#kept = this.#typed;
    this.#typed = "";
  }

  pinMatchesKept(): boolean {
    const same = this.#kept === this.#typed && this.#typed !== "";
    if (!same) this.#typed = "";
    this.#kept = undefined;
    return same;
  }

  wipe(...handles: unknown[]): void {
    for (const handle of handles) this.open.delete(handle as KeyPair);
  }

  wipeAll(): void {
    this.open.clear();
    this.pinClear();
  }

  async create(): Promise<KeyPair> {
    const digits = this.#used();
    if (this.withPin && digits.length < 6) throw new VaultError("short-pin", "digits were missing");
    if (this.kind === "none") this.made++;
    this.kind = this.withPin ? "sealed" : "clear";
    this.#pin = digits;
    this.#duress = undefined;
    return this.#opened();
  }

  async unlock(): Promise<Attempt> {
    const { waitS } = this.tries;
    const digits = this.#used();
    if (this.kind === "clear") return { is: "open", pair: this.#opened() };
    if (waitS > 0) return { is: "wait", waitS };
    if (digits === this.#pin) {
      this.wrong = 0;
      return { is: "open", pair: this.#opened() };
    }
    this.wrong++;
    this.waitedS = 0;
    if (digits === this.#duress || this.wrong >= TRIES) {
      this.kind = "none";
      this.wrong = 0;
      return { is: "wiped" };
    }
    return { is: "wrong", ...this.tries };
  }

  async changePin(pair: KeyPair): Promise<void> {
    const digits = this.#used();
    if (!this.open.has(pair)) throw new VaultError("no-such-slot", "the pair is not open");
    if (digits === this.#duress) throw new VaultError("same-pin", "it is the PIN that erases");
    this.#pin = digits;
  }

  async setDuress(): Promise<void> {
    const digits = this.#used();
    if (digits === this.#pin) throw new VaultError("same-pin", "both are the same");
    this.#duress = digits;
  }

  #used(): string {
    const digits = this.#typed;
    this.pinClear();
    const { fails } = this;
    this.fails = undefined;
    if (fails) throw fails;
    return digits;
  }

  #opened(): KeyPair {
    const pair = { spki: Buffer.from([this.made]) } as KeyPair;
    this.open.add(pair);
    return pair;
  }
}

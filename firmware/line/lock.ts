/**
 * The lock of a handset's own key: asks for digits, hands them to the vault one by one, and lets the key store make,
 * open, re-seal and forget the key. Until `opened` there is no key in the vault, so nothing can connect.
 *
 *     hand --digit--> vault        hand --done--> KeyLock --> key store --> vault: key pair
 *     hand <--------- what is wanted, unlocked, wiped <-'                        '--> opened: a telephone
 *
 * What the machine of the hand (handset/lock.ts) shows is decided here; what counts a try, waits or erases, in the store.
 */
import { DeviceError, VaultError } from "@feldfon/protocol/errors";
import type { KeyPair, Vault } from "@feldfon/protocol/vault";
import type { LineEvent, PinCommand, PinPurpose } from "../handset/link.ts";
import { isErasing, MIN_PIN_DIGITS } from "../handset/lock.ts";
import type { Attempt, KeyStore } from "./key-store.ts";

/** The key of this handset on its card. */
export type KeysAtRest = Pick<
  KeyStore,
  "kind" | "wiped" | "tries" | "device" | "create" | "unlock" | "changePin" | "setDuress"
>;

/** Where digits are held, and what is wiped. */
export type LockVault = Pick<
  Vault,
  "pinPush" | "pinPop" | "pinClear" | "pinKeep" | "pinMatchesKept" | "wipe" | "wipeAll"
>;

export interface KeyLockOptions {
  keys: KeysAtRest;
  vault: LockVault;
  /** A key that has no PIN yet is to get one. */
  withPin: boolean;
  tell(event: LineEvent): void;
  opened(pair: KeyPair): void;
  /** The key goes: whoever uses it ends that first. */
  closing(): Promise<void>;
}

export class KeyLock {
  readonly #options: KeyLockOptions;
  #asked: PinPurpose | undefined;
  #digits = 0;
  #pair: KeyPair | undefined;
  /** The pair was handed over by `opened`. */
  #open = false;
  #changing = false;
  #working = false;

  constructor(options: KeyLockOptions) {
    this.#options = options;
  }

  /** Asks for the PIN, for a new one, or opens what needs none. */
  async begin(): Promise<void> {
    const { keys, withPin, tell } = this.#options;
    if (keys.wiped) tell({ event: "wiped" });
    await this.#next(withPin);
  }

  async #next(withPin: boolean): Promise<void> {
    const { keys } = this.#options;
    if (keys.kind === "sealed") return this.#ask("unlock");
    if (withPin) return this.#ask("choose");
    this.#pair = keys.kind === "clear" ? await this.#load() : await this.#make();
    this.#handOver();
  }

  /** @throws what is our own mistake; what a person or a device does wrong is told */
  async command(command: PinCommand): Promise<void> {
    const { vault } = this.#options;
    // The hand shows that keys wait now; one that was under way all the same is let go.
    if (this.#working) return;
    switch (command.do) {
      case "pin-digit":
        if (this.#asked) this.#digits = vault.pinPush(command.digit);
        return;
      case "pin-erase":
        if (this.#asked) this.#digits = vault.pinPop();
        return;
      case "pin-done":
        if (this.#asked) await this.#work(this.#asked, (purpose) => this.#typed(purpose));
        return;
      case "pin-leave":
        return this.#leave();
      case "change-pin":
        if (!this.#open || !this.#sealed) return;
        this.#changing = true;
        return this.#ask("old");
      case "lock":
        if (this.#sealed && this.#pair) await this.#lock();
    }
  }

  get #sealed(): boolean {
    return this.#options.keys.kind === "sealed";
  }

  #ask(purpose: PinPurpose, refused?: string): void {
    const { keys, tell } = this.#options;
    this.#asked = purpose;
    this.#digits = 0;
    const tries = purpose === "unlock" || purpose === "old" ? keys.tries : undefined;
    tell({
      event: "pin-wanted",
      purpose,
      changing: this.#changing,
      ...tries,
      ...(refused !== undefined && { refused }),
    });
  }

  /** Slow and able to fail: the card, the device, the vault. What fails is shown, and asked for again. */
  async #work(purpose: PinPurpose, run: (purpose: PinPurpose) => Promise<void>): Promise<void> {
    this.#working = true;
    try {
      await run(purpose);
    } catch (error) {
      if (!isOfTheGround(error)) throw error;
      this.#options.vault.pinClear();
      this.#ask(firstOf(purpose), error.code);
    } finally {
      this.#working = false;
    }
  }

  async #typed(purpose: PinPurpose): Promise<void> {
    const { keys, vault } = this.#options;
    const repeats = purpose === "repeat" || purpose === "repeat-duress";
    if (!repeats && this.#digits < MIN_PIN_DIGITS) {
      vault.pinClear();
      return this.#ask(purpose, "short");
    }
    switch (purpose) {
      case "choose":
      case "duress":
        vault.pinKeep();
        return this.#ask(purpose === "choose" ? "repeat" : "repeat-duress");
      case "repeat":
        if (!vault.pinMatchesKept()) return this.#ask("choose", "different");
        if (this.#pair) await keys.changePin(this.#pair);
        else this.#pair = await this.#make();
        return this.#ask("duress");
      case "repeat-duress":
        if (!vault.pinMatchesKept()) return this.#ask("duress", "different");
        await keys.setDuress();
        return this.#handOver();
      case "unlock":
      case "old":
        return this.#tried(purpose, await keys.unlock());
      default:
        purpose satisfies never;
    }
  }

  async #tried(purpose: "unlock" | "old", came: Attempt): Promise<void> {
    const { vault, withPin, tell } = this.#options;
    switch (came.is) {
      case "open":
        if (purpose === "unlock") {
          this.#pair = came.pair;
          return this.#handOver();
        }
        vault.wipe(came.pair); // it is open already
        return this.#ask("choose");
      case "wrong":
      case "short":
        return this.#ask(purpose, came.is);
      case "wait":
        return this.#ask(purpose);
      case "wiped":
        await this.#close();
        tell({ event: "wiped" });
        return this.#next(withPin);
      default:
        came satisfies never;
    }
  }

  #leave(): void {
    if (!this.#asked || !(this.#changing || isErasing(this.#asked))) return;
    this.#options.vault.pinClear();
    this.#handOver();
  }

  #handOver(): void {
    const { tell, opened } = this.#options;
    this.#asked = undefined;
    this.#changing = false;
    if (!this.#open) opened(this.#pair!);
    this.#open = true;
    tell({ event: "unlocked", pin: this.#sealed });
  }

  async #lock(): Promise<void> {
    await this.#close();
    this.#ask("unlock");
  }

  async #close(): Promise<void> {
    const { vault, closing } = this.#options;
    this.#asked = undefined;
    this.#changing = false;
    await closing();
    vault.wipeAll();
    this.#pair = undefined;
    this.#open = false;
  }

  async #load(): Promise<KeyPair> {
    const came = await this.#options.keys.unlock();
    if (came.is !== "open") throw new Error(`a key without a PIN was not opened but "${came.is}"`);
    return came.pair;
  }

  async #make(): Promise<KeyPair> {
    const { keys, tell } = this.#options;
    if (keys.kind === "none") tell({ event: "making-key" });
    return keys.create();
  }
}

/** The vault, the device or the card refused: a person may do something about it. */
function isOfTheGround(error: unknown): error is Error & { code: string } {
  if (error instanceof VaultError || error instanceof DeviceError) return true;
  return error instanceof Error && "syscall" in error && "code" in error;
}

/** Where a person begins again after something failed. */
function firstOf(purpose: PinPurpose): PinPurpose {
  return purpose === "repeat" ? "choose" : purpose === "repeat-duress" ? "duress" : purpose;
}

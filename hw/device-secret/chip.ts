/** What all chips have in common: half of the secret lies on the card, and a program asks the chip for the other. */
import { DeviceError } from "@feldfon/protocol/errors";
import type { DeviceSecret, DeviceSecretKind } from "@feldfon/protocol/vault";
import { checkCardHalf, destroyCardHalf, makeCardHalf } from "./card.ts";
import type { DeviceBinding } from "./port.ts";

export abstract class ChipBinding implements DeviceBinding {
  abstract readonly kind: DeviceSecretKind;
  /** Path of the half on the card. */
  protected readonly card: string;

  constructor(card: string) {
    this.card = card;
  }

  abstract isPresent(): Promise<boolean>;

  /** Path of a program and its arguments, for the vault to run: it prints the secret. */
  protected abstract command(): readonly string[];

  /** What to do when the chip does not answer. */
  protected abstract readonly remedy: string;

  async make(): Promise<DeviceSecret> {
    await this.#check();
    await makeCardHalf(this.card);
    return { kind: this.kind, command: this.command() };
  }

  async find(): Promise<DeviceSecret> {
    await this.#check();
    await checkCardHalf(this.card);
    return { kind: this.kind, command: this.command() };
  }

  forget(): Promise<void> {
    return destroyCardHalf(this.card);
  }

  async #check(): Promise<void> {
    if (await this.isPresent()) return;
    throw new DeviceError("no-device", `the key is sealed with this device's ${this.kind}: ${this.remedy}`);
  }
}

import type { DeviceSecret } from "@feldfon/protocol/vault";
import { checkCardHalf, destroyCardHalf, makeCardHalf } from "./card.ts";
import type { DeviceBinding } from "./port.ts";

/** No device at all: who copies the card has this file too, and only the PIN's length and price stop him. */
export class FileBinding implements DeviceBinding {
  readonly kind = "none";
  readonly #path: string;

  /** @param path of the file, made when a key is */
  constructor(path: string) {
    this.#path = path;
  }

  async isPresent(): Promise<boolean> {
    return true;
  }

  async make(): Promise<DeviceSecret> {
    await makeCardHalf(this.#path);
    return { kind: this.kind, file: this.#path };
  }

  async find(): Promise<DeviceSecret> {
    await checkCardHalf(this.#path);
    return { kind: this.kind, file: this.#path };
  }

  forget(): Promise<void> {
    return destroyCardHalf(this.#path);
  }
}

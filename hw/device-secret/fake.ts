import type { DeviceSecretKind } from "@feldfon/protocol/vault";
import { ChipBinding } from "./chip.ts";

/** A chip of any kind that one can take out, and put another in. It prints what it is, and the half on the card. */
export class FakeBinding extends ChipBinding {
  readonly kind: DeviceSecretKind;
  protected readonly remedy = "put it back";
  /** 16 characters or more; undefined: taken out. */
  chip: string | undefined;

  constructor(
    card: string,
    kind: DeviceSecretKind = "tpm",
    chip: string | undefined = "the chip that was soldered in",
  ) {
    super(card);
    this.kind = kind;
    this.chip = chip;
  }

  async isPresent(): Promise<boolean> {
    return this.chip !== undefined;
  }

  protected command(): readonly string[] {
    return ["/bin/sh", "-c", 'printf %s "$0" && cat "$1"', this.chip ?? "", this.card];
  }
}

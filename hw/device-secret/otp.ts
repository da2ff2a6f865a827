/**
 * The 256 bits for a private key in the fuses of a Raspberry Pi 4 or 5, read with rpi-otp-private-key, which asks the
 * firmware through vcmailbox (tag 0x00030081).
 *
 *     rpi-otp-private-key -b, card half --> 32 + 32 bytes      this the vault runs
 *
 * Whoever is root or in the group `video` can read them; a card alone does not bring them along.
 * Source: raspberrypi/rpi-eeprom, tools/rpi-otp-private-key.
 */
import { join } from "node:path";
import { ChipBinding } from "./chip.ts";
import { runs } from "./program.ts";

export class OtpBinding extends ChipBinding {
  readonly kind = "otp";
  protected readonly remedy =
    "put the card back into its Raspberry Pi, and see that its fuses can be read: rpi-otp-private-key -c && echo yes";
  readonly #program: string;

  /** @param programs folder of rpi-otp-private-key */
  constructor(card: string, programs = "/usr/bin") {
    super(card);
    this.#program = join(programs, "rpi-otp-private-key");
  }

  /** False as well when the fuses were never burnt: nobody but the owner does that, it cannot be undone. */
  isPresent(): Promise<boolean> {
    return runs(this.#program, ["-c"]);
  }

  protected command(): readonly string[] {
    return ["/bin/sh", "-c", '"$0" -b && cat "$1"', this.#program, this.card];
  }
}

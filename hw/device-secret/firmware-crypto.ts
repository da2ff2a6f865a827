/**
 * The firmware of a Raspberry Pi (5; 4 with a recent bootloader), which computes HMAC-SHA-256 with a key in its fuses
 * and can be told at boot to show that key to nobody (lock_device_private_key=1 in config.txt).
 *
 *     rpi-fw-crypto hmac --in card half --key-id 1 --> 32 bytes        this the vault runs
 *
 * No counter and no PIN: whoever may open /dev/vcio_crypto may ask as well.
 * Source: raspberrypi/utils, rpifwcrypto; key 1 is the device's own.
 */
import { join } from "node:path";
import { ChipBinding } from "./chip.ts";
import { runs } from "./program.ts";

const KEY = ["--key-id", "1"];

export class FirmwareCryptoBinding extends ChipBinding {
  readonly kind = "firmware-crypto";
  protected readonly remedy =
    "put the card back into its Raspberry Pi, and see that rpi-fw-crypto is installed and works: rpi-fw-crypto pubkey --key-id 1";
  readonly #program: string;

  /** @param programs folder of rpi-fw-crypto */
  constructor(card: string, programs = "/usr/bin") {
    super(card);
    this.#program = join(programs, "rpi-fw-crypto");
  }

  /** By its public key: fuses that were never burnt, or hold no P-256 key, have none, and older firmware hangs on an HMAC with them. */
  isPresent(): Promise<boolean> {
    return runs(this.#program, ["pubkey", ...KEY]);
  }

  protected command(): readonly string[] {
    return [this.#program, "hmac", "--in", this.card, ...KEY];
  }
}

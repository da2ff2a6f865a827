/**
 * TPM 2.0, e.g. an SLB9670 on the SPI bus, through tpm2-tools (5.4 tried): an HMAC key that the chip derives from its
 * owner seed each time it is asked, so nothing of it is stored and nothing of it ever leaves the chip.
 *
 *     tpm2_createprimary -G hmac --> card half + ".context", good until the chip's next start
 *     tpm2_hmac -c context, card half --> 32 bytes                                              this the vault runs
 *
 * Another chip, or the same one after tpm2_clear, answers otherwise.
 */
import { access, constants, rm } from "node:fs/promises";
import { join } from "node:path";
import { ChipBinding } from "./chip.ts";
import { runs } from "./program.ts";

/** Made inside, bound to this chip, and no guess at it ever locks the chip: it has no PIN of its own. */
const ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda";

export interface TpmOptions {
  /** Folder of tpm2-tools. */
  programs?: string;
  /** The kernel's resource manager, which we must be allowed to open: group `tss` on Debian. */
  device?: string;
  /** How tpm2-tools reach it. */
  tcti?: string;
}

export class TpmBinding extends ChipBinding {
  readonly kind = "tpm";
  protected readonly remedy =
    "put the card back into its device, and see that tpm2-tools are installed and the user is in the group tss";
  readonly #programs: string;
  readonly #device: string;
  readonly #tcti: string;

  constructor(card: string, { programs = "/usr/bin", device = "/dev/tpmrm0", tcti }: TpmOptions = {}) {
    super(card);
    this.#programs = programs;
    this.#device = device;
    this.#tcti = tcti ?? `device:${device}`;
  }

  get #context(): string {
    return `${this.card}.context`;
  }

  /** Also loads the key: a chip that refuses is as good as none. */
  async isPresent(): Promise<boolean> {
    try {
      await access(this.#device, constants.R_OK | constants.W_OK);
    } catch {
      return false;
    }
    const key = ["-C", "o", "-G", "hmac", "-a", ATTRIBUTES, "-c", this.#context];
    const loaded = await runs(join(this.#programs, "tpm2_createprimary"), ["-T", this.#tcti, "-Q", ...key]);
    return loaded && runs(join(this.#programs, "tpm2_hmac"), ["--version"]);
  }

  protected command(): readonly string[] {
    return [join(this.#programs, "tpm2_hmac"), "-T", this.#tcti, "-c", this.#context, this.card];
  }

  override async forget(): Promise<void> {
    await rm(this.#context, { force: true });
    await super.forget();
  }
}

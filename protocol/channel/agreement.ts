/**
 * Q_A and Q_B of seed 002, both kinds side by side: X25519 and ML-KEM-768 (design 3). A channel is lost only if both
 * are broken. The client offers, the server answers:
 *
 *     offer    X25519(32) | encapsulation key(1184)
 *     answer   X25519(32) | ciphertext(1088)
 *
 * What the peer sent and the vault refuses throws ProtocolError `bad-point` (X25519 all-zero), `bad-encapsulation-key`
 * (FIPS 203 §7.2) or `bad-ciphertext`; VaultError is left for the ground that gives way.
 */
import { kdf } from "../crypto/transcript.ts";
import { ProtocolError, VaultError } from "../errors.ts";
import type { Ephemeral, Slot, Vault } from "../vault.ts";

export const NONCE_BYTES = 32;
export const X25519_BYTES = 32;
export const ENCAPSULATION_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;
/** u8 version | u8 suite: one of each, nothing is negotiated. */
export const VERSION_AND_SUITE = Buffer.of(1, 1);
const SECRET_BYTES = 32;

/** ss_mlkem and ss_x25519, in the order in which they enter every KDF. */
export type SharedSecrets = readonly [mlkem: Slot<"derive">, x25519: Slot<"derive">];

/** The client's fresh halves; good for one answer. */
export class AgreementOffer {
  readonly #vault: Vault;
  readonly #x25519: Ephemeral<"x25519">;
  readonly #mlkem: Ephemeral<"ml-kem-768">;

  constructor(vault: Vault) {
    this.#vault = vault;
    this.#x25519 = vault.makeEphemeral("x25519");
    try {
      this.#mlkem = vault.makeEphemeral("ml-kem-768");
    } catch (error) {
      vault.wipe(this.#x25519);
      throw error;
    }
  }

  /** X25519 | encapsulation key */
  get bytes(): Buffer {
    return Buffer.concat([this.#x25519.publicKey, this.#mlkem.publicKey]);
  }

  /** @throws {ProtocolError} `bad-point`, `bad-ciphertext` */
  accept(x25519: Uint8Array, ciphertext: Uint8Array): SharedSecrets {
    const mlkem = judged(() => this.#vault.decapsulate(this.#mlkem, ciphertext));
    try {
      return [mlkem, judged(() => this.#vault.agree(this.#x25519, x25519))];
    } catch (error) {
      this.#vault.wipe(mlkem);
      throw error;
    }
  }

  wipe(): void {
    this.#vault.wipe(this.#x25519, this.#mlkem);
  }
}

/**
 * The server's half, from the client's offer.
 *
 * @returns X25519 | ciphertext, and both secrets. @throws {ProtocolError} `bad-encapsulation-key`, `bad-point`
 */
export function answerOffer(
  vault: Vault,
  x25519: Uint8Array,
  encapsulationKey: Uint8Array,
): { bytes: Buffer; secrets: SharedSecrets } {
  const { ciphertext, secret: mlkem } = judged(() => vault.encapsulate(encapsulationKey));
  let own: Ephemeral<"x25519"> | undefined;
  try {
    own = vault.makeEphemeral("x25519");
    const bytes = Buffer.concat([own.publicKey, ciphertext]);
    const ephemeral = own;
    return { bytes, secrets: [mlkem, judged(() => vault.agree(ephemeral, x25519))] };
  } catch (error) {
    vault.wipe(mlkem);
    throw error;
  } finally {
    vault.wipe(own);
  }
}

/** ch = KDF("channel", th, 32; ss_mlkem, ss_x25519), or j of a resume with rk behind them. Wipes the shared secrets. */
export function secretOf(
  vault: Vault,
  word: "channel" | "resumed",
  th: Uint8Array,
  secrets: SharedSecrets,
  ...also: Slot<"derive">[]
): Slot<"derive"> {
  try {
    return kdf(vault, "derive", word, th, SECRET_BYTES, ...secrets, ...also);
  } finally {
    vault.wipe(...secrets);
  }
}

const PEERS_FAULTS = ["bad-point", "bad-encapsulation-key", "bad-ciphertext"];

function judged<Result>(use: () => Result): Result {
  try {
    return use();
  } catch (cause) {
    if (cause instanceof VaultError && PEERS_FAULTS.includes(cause.code)) {
      throw new ProtocolError(cause.code, "the peer's half of the key agreement is none", { cause });
    }
    throw cause;
  }
}

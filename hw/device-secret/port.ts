import type { DeviceSecret, DeviceSecretKind } from "@feldfon/protocol/vault";

/**
 * What ties a sealed key to this one device, so that a copied card is worth nothing without it. The secret itself goes
 * from the device to the vault and never through here.
 */
export interface DeviceBinding {
  readonly kind: DeviceSecretKind;
  /** Whether this machine has it and lets us use it. */
  isPresent(): Promise<boolean>;
  /** For a key that is to be sealed: makes anew what lies on the card. @throws {DeviceError} `no-device` */
  make(): Promise<DeviceSecret>;
  /** For a key that was sealed. @throws {DeviceError} `no-device`, with what to do */
  find(): Promise<DeviceSecret>;
  /** Destroys what lies on the card: what was sealed with it opens nowhere again. Twice is harmless. */
  forget(): Promise<void>;
}

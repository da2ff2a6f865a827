import { join } from "node:path";
import { FileBinding } from "./file.ts";
import { FirmwareCryptoBinding } from "./firmware-crypto.ts";
import { OtpBinding } from "./otp.ts";
import type { DeviceBinding } from "./port.ts";
import { TpmBinding } from "./tpm.ts";

export type { DeviceBinding } from "./port.ts";

/** What this machine may have to tie a key to itself, best first; the last is always there. @param folder of the key */
export function deviceBindings(folder: string): readonly DeviceBinding[] {
  const card = join(folder, "device");
  return [new TpmBinding(card), new FirmwareCryptoBinding(card), new OtpBinding(card), new FileBinding(card)];
}

/**
 * The half that lies on the card: 32 random bytes of mode 0600, made for one key and destroyed with it. Chips answer to
 * it; where there is no chip it is the whole secret.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { DeviceError } from "@feldfon/protocol/errors";

export const CARD_BYTES = 32;

/** On the card before it returns. @throws {DeviceError} `no-device` */
export async function makeCardHalf(path: string): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await withFile(temporary, "w", async (file) => {
      await file.writeFile(randomBytes(CARD_BYTES));
      await file.sync();
    });
    await rename(temporary, path);
    await withFile(dirname(path), "r", (folder) => folder.sync());
  } catch (cause) {
    throw new DeviceError("no-device", "the device's half of the key cannot be written to the card", { cause });
  }
}

/** @throws {DeviceError} `no-device` */
export async function checkCardHalf(path: string): Promise<void> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const whole = bytes.length === CARD_BYTES;
  bytes.fill(0);
  if (!whole) throw new DeviceError("no-device", "the file beside the key that it was sealed with is missing");
}

export async function destroyCardHalf(path: string): Promise<void> {
  await rm(`${path}.new`, { force: true });
  try {
    await withFile(path, "r+", async (file) => {
      await file.write(Buffer.alloc(CARD_BYTES), 0, CARD_BYTES, 0);
      await file.sync();
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(path);
  await withFile(dirname(path), "r", (folder) => folder.sync());
}

async function withFile(path: string, how: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, how, 0o600);
  await use(file).finally(() => file.close());
}

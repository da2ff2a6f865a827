/**
 * The half that lies on the card: 32 random bytes of mode 0600, made for one key and destroyed with it. Chips answer to
 * it; where there is no chip it is the whole secret.
 */
import { randomFillSync } from "node:crypto";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DeviceError } from "@feldfon/protocol/errors";

export const CARD_BYTES = 32;

/** On the card before it returns. @throws {DeviceError} `no-device` */
export async function makeCardHalf(path: string): Promise<void> {
  const temporary = `${path}.new`;
  // In memory of its own: Node's pool is shared, and what lies there is written over by chance.
  const half = randomFillSync(Buffer.alloc(CARD_BYTES));
  try {
    await withFile(temporary, "w", async (file) => {
      await file.writeFile(half);
      await file.sync();
    });
    await rename(temporary, path);
    await withFile(dirname(path), "r", (folder) => folder.sync());
  } catch (cause) {
    throw new DeviceError("no-device", "the device's half of the key cannot be written to the card", { cause });
  } finally {
    half.fill(0);
  }
}

/** Reads none of it: that is the vault's. @throws {DeviceError} `no-device` */
export async function checkCardHalf(path: string): Promise<void> {
  const about = await stat(path).catch(() => undefined);
  if (about?.size !== CARD_BYTES)
    throw new DeviceError("no-device", "the file beside the key that it was sealed with is missing");
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

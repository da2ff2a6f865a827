/** Files of mode 0600 that hold keys: read only when nobody else may touch them, saved whole or not at all. */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { VaultError } from "@feldfon/protocol/errors";

const OWNER_ONLY = 0o600;
const FILE_BYTES_MAX = 16 * 1024;

/** @throws {VaultError} `no-key`, `key-file-open` (others may touch it), `bad-key` (no file, or far too long) */
export async function readPrivately(path: string): Promise<Buffer> {
  let file: FileHandle;
  try {
    // Without O_NONBLOCK a pipe of that name would keep us waiting.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      throw new VaultError("bad-key", "the key file cannot be opened", { cause });
    }
    throw new VaultError("no-key", "there is no key file at the given path", { cause });
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) {
      throw new VaultError("bad-key", "what lies at the path of the key file is not a key file");
    }
    if (stat.mode & 0o077) {
      throw new VaultError("key-file-open", "the key file may be read by others: chmod 600 it, or make a new key");
    }
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** @throws {VaultError} `not-saved`; what was there before is still there */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, "wx", OWNER_ONLY);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    // The new name itself survives a power cut only once the folder is written.
    const folder = await open(dirname(path), "r");
    await folder.sync().finally(() => folder.close());
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new VaultError("not-saved", "the key file could not be saved", { cause });
  }
}

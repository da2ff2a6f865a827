/** Reads a device's secret the way the degraded vault can: it becomes a Buffer, which its user overwrites. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { VaultError } from "@feldfon/protocol/errors";
import type { DeviceSecret } from "@feldfon/protocol/vault";
import { overwrite, ownCopy } from "./handles.ts";

const BYTES_LEAST = 16;
const BYTES_MOST = 256;
const TIMEOUT_MS = 10_000;

/** @throws {VaultError} `no-device` */
export async function readDeviceSecret(device: DeviceSecret): Promise<Buffer> {
  const read = "file" in device ? await readFile(device.file).catch(() => undefined) : await outputOf(device.command);
  const fits = read && read.length >= BYTES_LEAST && read.length <= BYTES_MOST;
  const secret = fits ? ownCopy(read) : undefined;
  if (read) overwrite(read);
  if (secret) return secret;
  throw new VaultError(
    "no-device",
    "the device's part of the key cannot be had: is it still there, and may we use it?",
  );
}

/** @returns undefined when the program could not be run or said that it failed */
function outputOf([program, ...args]: readonly string[]): Promise<Buffer | undefined> {
  const settings = {
    encoding: "buffer",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
    maxBuffer: 4096,
  } as const;
  return new Promise((resolve) => {
    const child = execFile(program!, args, settings, (error, stdout) => {
      if (!error) return resolve(stdout);
      overwrite(stdout);
      resolve(undefined);
    });
    child.stdin?.end();
  });
}

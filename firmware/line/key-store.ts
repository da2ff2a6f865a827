/**
 * The handset's key on its card, behind a PIN: how often it may be tried, how long to wait, and when it is gone.
 *
 *     FOLDER/key.pem   sealed (hw/vault/README.md, "Keys at rest"), or PKCS#8 in PEM without a PIN
 *     FOLDER/tries     how many tries were begun since the last good one; missing: none
 *     FOLDER/device    half of the device's secret (hw/device-secret)
 *
 *     a try     tries + 1 on the card --> Argon2id, key --> good: tries away    wrong: stays
 *     a wipe    tries = 10 on the card --> key, device overwritten and removed --> tries away
 *
 * So a power cut or kill -9 at any point costs a try and never gives one, and a wipe that was begun is finished at the
 * next start. The counter lies on the card: who copies the card before each try is stopped by the device's secret alone.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DeviceBinding } from "@feldfon/hw/device-secret/port";
import { DeviceError, VaultError } from "@feldfon/protocol/errors";
import type { DeviceSecret, DeviceSecretKind, KeyPair, Vault } from "@feldfon/protocol/vault";

export const TRIES = 10;
const PIN_DIGITS_LEAST = 6;
const OWNER_ONLY = 0o600;
const WAITS_S = [0, 0, 0, 30, 5 * 60];
const LATER_WAIT_S = 60 * 60;
/** What a vault says before it tries a PIN: no try was spent. */
const UNTRIED = new Set(["no-key", "bad-key", "key-file-open", "other-device", "no-device", "short-pin"]);
/** As the header of a sealed file has them (hw/vault/sealed-file.ts). */
const DEVICE_KINDS: readonly DeviceSecretKind[] = ["none", "tpm", "firmware-crypto", "otp"];

/** @returns seconds to wait after so many failed tries before the next */
export function waitAfter(failedTries: number): number {
  return WAITS_S[failedTries] ?? LATER_WAIT_S;
}

export interface KeyStoreOptions {
  /** The key file; the counter lies beside it. */
  path: string;
  vault: Vault;
  /** Best first; a key that is sealed needs the one of its kind. */
  devices: readonly DeviceBinding[];
  /** Whether a key that is made gets a PIN. */
  withPin: boolean;
  /** Milliseconds of a clock that only runs forward; a Pi does not know the time. */
  now?: () => number;
}

/** `none`: no key yet. `clear`: opens without a PIN. */
export type KeyKind = "none" | "clear" | "sealed";

export type Attempt =
  | { is: "open"; pair: KeyPair }
  | { is: "wrong"; left: number; waitS: number }
  | { is: "wait"; waitS: number }
  /** Fewer digits than a PIN has: no try was spent. */
  | { is: "short" }
  /** The tenth wrong PIN, or the one under duress: there is no key any more. */
  | { is: "wiped" };

export class KeyStore {
  /** Whether opening the store finished a wipe that an earlier process had begun. */
  readonly wiped: boolean;
  readonly #options: Required<KeyStoreOptions>;
  readonly #triesPath: string;
  #kind: KeyKind;
  #failed: number;
  /** Since when the wait counts: the last wrong try, or the start, because nobody knows how long it was off. */
  #waitsSince: number;
  /** One after the other: two tries must not count as one. */
  #last: Promise<unknown> = Promise.resolve();

  /** @throws {VaultError} `bad-key` when what lies there is no key file */
  static async open(options: KeyStoreOptions): Promise<KeyStore> {
    const complete = { now: () => performance.now(), ...options };
    const triesPath = join(dirname(options.path), "tries");
    removeHalfWritten(options.path);
    const failed = readTries(triesPath);
    if (failed >= TRIES) await wipe(complete, triesPath);
    return new KeyStore(complete, triesPath, failed >= TRIES);
  }

  private constructor(options: Required<KeyStoreOptions>, triesPath: string, wiped: boolean) {
    this.#options = options;
    this.#triesPath = triesPath;
    this.wiped = wiped;
    this.#failed = wiped ? 0 : readTries(triesPath);
    this.#waitsSince = options.now();
    this.#kind = kindOf(headOf(options.path));
  }

  get kind(): KeyKind {
    return this.#kind;
  }

  /** What the sealed key is tied to, and nothing for another one. */
  get device(): DeviceSecretKind | undefined {
    return this.#kind === "sealed" ? DEVICE_KINDS[headOf(this.#options.path)[6]!] : undefined;
  }

  /** Tries left, and seconds until the next one is heard. */
  get tries(): { left: number; waitS: number } {
    const passedS = (this.#options.now() - this.#waitsSince) / 1000;
    return { left: TRIES - this.#failed, waitS: Math.max(0, Math.ceil(waitAfter(this.#failed) - passedS)) };
  }

  /**
   * Makes the key; with a PIN, sealed under the digits that were typed twice. A key in the clear stays the same and is
   * sealed from now on.
   *
   * @throws {VaultError} `short-pin`, `not-saved`. @throws {DeviceError} `no-device`
   */
  create(): Promise<KeyPair> {
    return this.#inTurn(() => this.#create());
  }

  /**
   * Opens the key with the digits typed, and uses them up.
   *
   * @throws {VaultError} `no-key`, `bad-key`, `other-device` .., {DeviceError} `no-device`, all without a try spent
   */
  unlock(): Promise<Attempt> {
    return this.#inTurn(() => this.#unlock());
  }

  /** Seals the open key under the digits typed; the PIN under duress stays. @throws {VaultError} `same-pin` */
  changePin(pair: KeyPair): Promise<void> {
    const { vault, path } = this.#options;
    return this.#inTurn(async () => vault.changePin(pair, path, await this.#deviceOfKey()));
  }

  /** The digits typed become the PIN under duress, which wipes. @throws {VaultError} `same-pin` */
  setDuress(): Promise<void> {
    const { vault, path } = this.#options;
    return this.#inTurn(async () => vault.setDuressPin(path, await this.#deviceOfKey()));
  }

  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const mine = this.#last.then(run);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #create(): Promise<KeyPair> {
    const { vault, path, withPin } = this.#options;
    if (this.#kind === "sealed") throw new VaultError("not-saved", "there is a sealed key already");
    if (withPin && vault.pinDigits() < PIN_DIGITS_LEAST) throw new VaultError("short-pin", "a PIN has 6 to 12 digits");
    const clear = this.#kind === "clear";
    const pair = clear ? await vault.loadKeyPair(path) : await vault.makeKeyPair();
    if (withPin) await this.#seal(pair);
    else if (!clear) await vault.saveKeyPair(pair, path);
    this.#kind = withPin ? "sealed" : "clear";
    return pair;
  }

  async #seal(pair: KeyPair): Promise<void> {
    const { vault, path } = this.#options;
    const device = await this.#newDevice();
    this.#count(0); // what is left of an older key counts for nothing
    const clear = this.#kind === "clear" ? openSync(path, "r+") : undefined;
    try {
      await vault.saveSealedKeyPair(pair, path, device);
      if (clear !== undefined) overwriteFile(clear);
    } finally {
      if (clear !== undefined) closeSync(clear);
    }
  }

  async #unlock(): Promise<Attempt> {
    const { vault, path } = this.#options;
    if (this.#kind !== "sealed") return { is: "open", pair: await vault.loadKeyPair(path) };
    const { waitS } = this.tries;
    if (waitS > 0 || vault.pinDigits() < PIN_DIGITS_LEAST) {
      vault.pinClear();
      return waitS > 0 ? { is: "wait", waitS } : { is: "short" };
    }
    const before = this.#failed;
    const device = await this.#beginTry().catch((error) => {
      vault.pinClear();
      throw error;
    });
    try {
      const unlocked = await vault.loadSealedKeyPair(path, device);
      if (unlocked.opened === "duress") return await this.#wipe();
      this.#count(0);
      return { is: "open", pair: unlocked.pair };
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      if (error.code === "bad-pin") return await this.#wrong();
      if (UNTRIED.has(error.code)) this.#count(before);
      throw error;
    }
  }

  async #beginTry(): Promise<DeviceSecret> {
    const device = await this.#deviceOfKey();
    this.#count(this.#failed + 1);
    return device;
  }

  async #wrong(): Promise<Attempt> {
    if (this.#failed >= TRIES) return this.#wipe();
    this.#waitsSince = this.#options.now();
    return { is: "wrong", ...this.tries };
  }

  async #wipe(): Promise<Attempt> {
    this.#count(TRIES); // from here on the next start finishes it
    await wipe(this.#options, this.#triesPath);
    this.#failed = 0;
    this.#kind = "none";
    return { is: "wiped" };
  }

  #count(failed: number): void {
    if (failed === 0) removeTries(this.#triesPath);
    else writeTries(this.#triesPath, failed);
    this.#failed = failed;
  }

  async #newDevice(): Promise<DeviceSecret> {
    for (const device of this.#options.devices) if (await device.isPresent()) return device.make();
    throw new DeviceError("no-device", "nothing ties a key to this device, not even a file");
  }

  /** @throws {DeviceError} `no-device`, {VaultError} `other-device` */
  async #deviceOfKey(): Promise<DeviceSecret> {
    const kind = this.device;
    const device = this.#options.devices.find((device) => device.kind === kind);
    if (device) return device.find();
    throw new VaultError("other-device", `the key was sealed with a device's ${kind}, which this one does not have`);
  }
}

/** @throws {VaultError} `bad-key` */
function kindOf(head: Buffer): KeyKind {
  const magic = head.toString("latin1", 0, 5);
  if (head.length === 0) return "none";
  if (magic === "FFKEY" && head.length === 7 && head[6]! < DEVICE_KINDS.length) return "sealed";
  if (magic === "-----") return "clear";
  throw new VaultError("bad-key", "the key file is damaged, or none of ours: restore it, or remove it for a new key");
}

/** @returns the first 7 bytes, which are no secret; none when there is no file */
function headOf(path: string): Buffer {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return Buffer.alloc(0);
    throw new VaultError("bad-key", "the key file cannot be opened", { cause });
  }
  try {
    const head = Buffer.alloc(7);
    const bytes = readSync(file, head, 0, 7, 0);
    return bytes === 0 ? Buffer.from("?") : head.subarray(0, bytes);
  } finally {
    closeSync(file);
  }
}

/** One that cannot be read leaves one try: it was never half-written by us, so something broke the card. */
function readTries(path: string): number {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    return TRIES - 1;
  }
  return /^(\d|10)\n$/.test(text) ? Number(text) : TRIES - 1;
}

function writeTries(path: string, failed: number): void {
  const temporary = `${path}.new`;
  const file = openSync(temporary, "w", OWNER_ONLY);
  try {
    writeSync(file, `${failed}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
  syncFolderOf(path);
}

function removeTries(path: string): void {
  rmSync(path, { force: true });
  rmSync(`${path}.new`, { force: true });
  syncFolderOf(path);
}

async function wipe({ path, devices }: KeyStoreOptions, triesPath: string): Promise<void> {
  destroy(path);
  for (const device of devices) await device.forget();
  removeTries(triesPath);
}

/** What a process left that ended while it saved: `key.pem.<random>`; the file itself is whole. */
function removeHalfWritten(path: string): void {
  const folder = dirname(path);
  const left = readdirSync(folder).filter(
    (name) => name.startsWith(`${basename(path)}.`) && /\.[0-9a-f-]{16,36}$/.test(name),
  );
  for (const name of left) destroy(join(folder, name));
}

/** Overwrites first: the best that can be done on flash, which may keep the old sectors all the same. */
function destroy(path: string): void {
  let file: number;
  try {
    file = openSync(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    overwriteFile(file);
  } finally {
    closeSync(file);
  }
  unlinkSync(path);
  syncFolderOf(path);
}

function overwriteFile(file: number): void {
  const { size } = fstatSync(file);
  writeSync(file, Buffer.alloc(size), 0, size, 0);
  fsyncSync(file);
}

function syncFolderOf(path: string): void {
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * What a handset keeps on its card, besides its key: the settings and the last head of the directory.
 *
 *     DATA/settings.json    server, port, server's fingerprint, name, language, enrolment code, direct, PIN or not
 *     DATA/key.pem          the key pair (the vault's file); beside it what line/key-store.ts counts and ties it to
 *     DATA/last-head        HEAD (184) | signature (512), wire.md DIRECTORY
 *     DATA/evidence/        two stories of one server, one file each
 *
 * A file is replaced whole or not at all: power may go at any moment. A file that does not read is put aside, never
 * overwritten and never guessed at.
 */
import { randomInt } from "node:crypto";
import * as nodeFs from "node:fs";
import { basename, dirname, join } from "node:path";
import { SIGNATURE_BYTES } from "@feldfon/protocol/crypto/transcript";
import { parseName } from "@feldfon/protocol/directory/names";
import { HEAD_BYTES } from "@feldfon/protocol/directory/tree-head";
import { ProtocolError } from "@feldfon/protocol/errors";
import { parseUid, type Uid } from "@feldfon/protocol/identity";
import * as v from "valibot";
import { LANGUAGES, type Language } from "./handset/texts.ts";

/** A file of the handset does not read, or a value is wrong. `code` has a text on the screen (faults.ts). */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  readonly code: "settings-broken" | "settings-bad" | "last-head-broken";
  /** Where a broken file is now. */
  readonly keptAs: string | undefined;

  constructor(code: SettingsError["code"], sentence: string, keptAs?: string) {
    super(sentence);
    this.code = code;
    this.keptAs = keptAs;
  }
}

export interface Settings {
  readonly server: string;
  readonly port: number;
  /** The pinned server's uid; without it the handset connects to nobody. */
  readonly serverKey?: Uid | undefined;
  readonly name: string;
  readonly language: Language;
  readonly enrolmentCode?: string | undefined;
  /** Voice may go straight to the other handset, which learns this one's address. */
  readonly direct: boolean;
  /** The key opens by a PIN; a handset that has none yet asks for one. */
  readonly pin: boolean;
  /** An open handset that nobody can call and nobody touches locks itself after this; 0 never. */
  readonly idleLockMinutes: number;
}

/** What of node:fs is needed, so that a test can cut the power between any two calls. */
export type Files = Pick<
  typeof nodeFs,
  | "readFileSync"
  | "openSync"
  | "writeSync"
  | "fsyncSync"
  | "closeSync"
  | "renameSync"
  | "mkdirSync"
  | "existsSync"
  | "rmSync"
>;

/** One small file that is replaced whole. */
export class KeptFile {
  readonly path: string;
  readonly #files: Files;

  constructor(path: string, files: Files = nodeFs) {
    this.path = path;
    this.#files = files;
  }

  /** @returns `undefined` when there is none yet */
  read(): Buffer | undefined {
    try {
      return this.#files.readFileSync(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Readable by its owner only: an enrolment code may be in it. */
  write(bytes: Uint8Array): void {
    const files = this.#files;
    const fresh = `${this.path}.new`;
    files.mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    try {
      this.#synced(fresh, "w", (descriptor) => {
        for (let at = 0; at < bytes.length; ) at += files.writeSync(descriptor, bytes, at);
      });
    } catch (error) {
      // A full card must not be fuller for it.
      files.rmSync(fresh, { force: true });
      throw error;
    }
    // On the card before its name is: else the name could point at a file without its bytes.
    files.renameSync(fresh, this.path);
    this.#syncFolder();
  }

  /** Moves the file out of the way, beside those put aside before. @returns its new path */
  putAside(): string {
    for (let n = 1; ; n++) {
      const aside = `${this.path}.broken-${n}`;
      if (this.#files.existsSync(aside)) continue;
      this.#files.renameSync(this.path, aside);
      this.#syncFolder();
      return aside;
    }
  }

  #syncFolder(): void {
    this.#synced(dirname(this.path), "r", () => {});
  }

  #synced(path: string, flags: "w" | "r", use: (descriptor: number) => void): void {
    const descriptor = this.#files.openSync(path, flags, 0o600);
    try {
      use(descriptor);
      this.#files.fsyncSync(descriptor);
    } finally {
      this.#files.closeSync(descriptor);
    }
  }
}

export const MAX_SERVER_CHARACTERS = 253;
const MAX_CODE_CHARACTERS = 64;
const IDLE_LOCK_MINUTES = 10;
/** A day. */
const MAX_IDLE_LOCK_MINUTES = 1_440;

/** RFC 1123 §2.1 */
const hostNameForm = /^[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?$/;

const ipv6Form = v.pipe(v.string(), v.ipv6());
/** RFC 4007 §11: which interface a link-local address is meant on. */
const zoneForm = /%[0-9A-Za-z]+$/;

/** A name or an address, without scheme, port and path. */
function isHost(text: string): boolean {
  return hostNameForm.test(text) || v.is(ipv6Form, text.replace(zoneForm, ""));
}

const settingsForm = v.strictObject({
  server: v.pipe(v.string(), v.maxLength(MAX_SERVER_CHARACTERS), v.check(isHost, "not a host name or address")),
  port: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  serverKey: v.optional(v.pipe(v.string(), parsed(parseUid))),
  name: v.pipe(v.string(), parsed(parseName)),
  language: v.picklist(LANGUAGES),
  enrolmentCode: v.optional(v.pipe(v.string(), v.maxLength(MAX_CODE_CHARACTERS))),
  direct: v.optional(v.boolean(), false),
  pin: v.optional(v.boolean(), true),
  idleLockMinutes: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_IDLE_LOCK_MINUTES)),
    IDLE_LOCK_MINUTES,
  ),
});

/** What a protocol parser takes is right; what it refuses is refused with its sentence. */
function parsed<T extends string>(parse: (text: string) => T) {
  return v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
    try {
      return parse(dataset.value);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      addIssue({ message: error.message });
      return NEVER;
    }
  });
}

/**
 * Outside values, or values of a person, as settings.
 *
 * @throws {SettingsError} `settings-bad`, with a sentence for each wrong field that never repeats the value
 */
export function parseSettings(values: unknown): Settings {
  const result = v.safeParse(settingsForm, values);
  if (result.success) return result.output;
  throw new SettingsError(
    "settings-bad",
    result.issues.map((issue) => `${v.getDotPath(issue) ?? "settings"}: ${sentenceOf(issue)}`).join("; "),
  );
}

/** valibot's own messages repeat what came; an enrolment code must not get into a log. */
function sentenceOf(issue: v.BaseIssue<unknown>): string {
  if (issue.type === "raw_transform" || issue.type === "check") return issue.message;
  if (issue.expected === null) return "not expected here";
  return issue.received === "undefined" ? "missing" : `expected ${issue.expected}`;
}

export function firstSettings(random: (below: number) => number = randomInt): Settings {
  const number = String(random(10_000)).padStart(4, "0");
  return {
    server: "127.0.0.1",
    port: 5060,
    name: `Feldfon ${number}`,
    language: "de",
    direct: false,
    pin: true,
    idleLockMinutes: IDLE_LOCK_MINUTES,
  };
}

/**
 * The settings of a handset; the first start makes them.
 *
 * @throws {SettingsError} `settings-broken`: what is wrong, and where the broken file was put
 */
export function openSettings(path: string, files: Files = nodeFs, random?: (below: number) => number): Settings {
  const file = new KeptFile(path, files);
  const bytes = file.read();
  if (bytes === undefined) {
    const settings = firstSettings(random);
    saveSettings(path, settings, files);
    return settings;
  }
  try {
    return parseSettings(JSON.parse(bytes.toString("utf8")));
  } catch (cause) {
    // JSON's own message quotes the text around the fault.
    const what = cause instanceof SyntaxError ? "it is not JSON" : (cause as Error).message;
    const keptAs = file.putAside();
    throw new SettingsError("settings-broken", `${basename(path)} does not read: ${what}; kept as ${keptAs}`, keptAs);
  }
}

/** @throws {SettingsError} `settings-bad`, before anything is written */
export function saveSettings(path: string, settings: Settings, files: Files = nodeFs): void {
  new KeptFile(path, files).write(Buffer.from(`${JSON.stringify(parseSettings(settings), null, 2)}\n`));
}

/** The head accepted last: no older directory is taken after a restart (design 4, Phonebook). */
export class LastHead {
  readonly #file: KeptFile;

  constructor(path: string, files: Files = nodeFs) {
    this.#file = new KeptFile(path, files);
  }

  /**
   * Its signature is not judged here. @see readSignedHead in protocol/directory/tree-head.ts
   *
   * @throws {SettingsError} `last-head-broken`
   */
  read(): { bytes: Buffer; signature: Buffer } | undefined {
    const bytes = this.#file.read();
    if (bytes === undefined) return undefined;
    if (bytes.length !== HEAD_BYTES + SIGNATURE_BYTES) {
      const keptAs = this.#file.putAside();
      const sentence = `a last head of ${bytes.length} bytes was found, it has ${HEAD_BYTES + SIGNATURE_BYTES}`;
      throw new SettingsError("last-head-broken", `${sentence}; kept as ${keptAs}`, keptAs);
    }
    return { bytes: bytes.subarray(0, HEAD_BYTES), signature: bytes.subarray(HEAD_BYTES) };
  }

  write(bytes: Uint8Array, signature: Uint8Array): void {
    if (bytes.length !== HEAD_BYTES || signature.length !== SIGNATURE_BYTES) {
      throw new ProtocolError(
        "malformed",
        `a head of ${bytes.length} bytes with ${signature.length} of signature came`,
      );
    }
    this.#file.write(Buffer.concat([bytes, signature]));
  }
}

/** Where everything of one handset lies. */
export function pathsIn(folder: string): { settings: string; key: string; lastHead: string; evidence: string } {
  return {
    settings: join(folder, "settings.json"),
    key: join(folder, "key.pem"),
    lastHead: join(folder, "last-head"),
    evidence: join(folder, "evidence"),
  };
}

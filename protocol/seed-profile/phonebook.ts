/**
 * Seed profile: the origin's shapes, for tests only (test/architecture.test.ts holds it); what travels is wire.md.
 *
 * The phonebook as JSON under a client's secret (seed 000, connect 6; seed 003: prepare_phonebook_data,
 * encrypt_phonebook_data, decrypt_phonebook_data), in its binary form:
 *
 *     0                           512
 *     +---------------------------+------------------------------+
 *     | RSA-OAEP of the secret    | AES-256-CBC, PKCS#7: JSON    |
 *     +---------------------------+------------------------------+
 *
 * Either everything is encrypted or nothing leaves; the origin fell back to clear text. CBC has no MAC, and one secret
 * per client is one IV per client, so the product sends signed heads and sealed deltas instead. Addresses of the others
 * are left out: a phonebook is for names and keys.
 */
import type { KeyObject } from "node:crypto";
import { normalizeKey, seedRoot } from "../directory/merkle.ts";
import type { PublicKey, Uid } from "../identity.ts";
import { decryptCbc, encryptCbc } from "./audio.ts";
import { isValidPublicKey } from "./keys.ts";
import { type Secret, unreadable, unwrapSecret, WRAPPED_BYTES, wrapSecret } from "./secret.ts";
import { buildSipMessage } from "./sip.ts";

export interface PhonebookEntry {
  /** Decimal: the place in the list, from 0. */
  id: string;
  name: string;
  /** PEM */
  public_key: string;
  is_self: boolean;
  online: boolean;
}

export interface Phonebook {
  version: "2.0";
  /** Whole seconds. */
  timestamp: number;
  /** Definition A over the server's key and the clients' keys in order of their ids. */
  merkle_root: string;
  total_clients: number;
  connected_clients: number;
  clients: PhonebookEntry[];
}

export interface Client {
  name: string;
  key: PublicKey;
  online: boolean;
}

/** One consistent picture of all clients, in order of their ids, for the one that reads it (seed 003: prepare_phonebook_data). */
export function preparePhonebook(
  serverKey: PublicKey,
  clients: readonly Client[],
  reader: Uid,
  nowS: number,
): Phonebook {
  const keys = [serverKey, ...clients.map(({ key }) => key)];
  return {
    version: "2.0",
    timestamp: Math.floor(nowS),
    merkle_root: seedRoot(keys.map(({ pem }) => normalizeKey(pem)))!,
    total_clients: clients.length,
    connected_clients: clients.filter(({ online }) => online).length,
    clients: clients.map(({ name, key, online }, id) => ({
      id: String(id),
      name,
      public_key: key.pem,
      is_self: key.uid === reader,
      online,
    })),
  };
}

/** The binary form for the owner of a key (seed 003: encrypt_phonebook_data). Throws whatever goes wrong: nothing leaves in clear. */
export function encryptPhonebookData(phonebook: Phonebook, owner: PublicKey, secret: Secret): Buffer {
  return Buffer.concat([wrapSecret(secret, owner), encryptCbc(compactJson(phonebook), secret)]);
}

/** @throws {ProtocolError} `unreadable`, with one sentence for a wrong key, length, prefix, padding, text or shape */
export function decryptPhonebookData(encrypted: Uint8Array, owner: KeyObject): Phonebook {
  const secret = unwrapSecret(encrypted.subarray(0, WRAPPED_BYTES), owner);
  return readPhonebook(decryptCbc(encrypted.subarray(WRAPPED_BYTES), secret));
}

/** The hex form under a secret both ends hold already (seed 003: encrypt_phonebook). */
export function encryptPhonebook(phonebook: Phonebook, secret: Secret): string {
  return encryptCbc(compactJson(phonebook), secret).toString("hex");
}

/** @throws {ProtocolError} `unreadable` */
export function decryptPhonebook(hex: string, secret: Secret): Phonebook {
  if (!/^([0-9a-f]{32})+$/.test(hex)) throw unreadable("a phonebook came that is not whole blocks of hex");
  return readPhonebook(decryptCbc(Buffer.from(hex, "hex"), secret));
}

/**
 * A MESSAGE with the binary form's two parts in compact JSON (seed 003: build_phonebook_message).
 *
 * @throws {ProtocolError} `unreadable` unless the RSA block has 512 bytes and whole AES blocks follow
 */
export function buildPhonebookMessage(
  client: { id: number; name: string },
  encrypted: Uint8Array,
  server: string,
  nowS: number,
): Buffer {
  const dataBytes = encrypted.length - WRAPPED_BYTES;
  if (dataBytes <= 0 || dataBytes % 16 !== 0) throw unreadable(`${encrypted.length} bytes are no encrypted phonebook`);
  const content = {
    MESSAGE_TYPE: "PHONEBOOK_UPDATE",
    ENCRYPTED_SECRET: Buffer.from(encrypted.subarray(0, WRAPPED_BYTES)).toString("base64"),
    ENCRYPTED_PHONEBOOK: Buffer.from(encrypted.subarray(WRAPPED_BYTES)).toString("base64"),
    CLIENT_ID: String(client.id),
    TIMESTAMP: Math.floor(nowS),
  };
  return buildSipMessage("MESSAGE", client.name, content, { server }, "json");
}

function compactJson(phonebook: Phonebook): Buffer {
  return Buffer.from(JSON.stringify(phonebook));
}

function readPhonebook(json: Uint8Array): Phonebook {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    throw unreadable("a phonebook came that is no JSON");
  }
  if (!isPhonebook(value)) throw unreadable("a phonebook came in another shape");
  return value;
}

function isPhonebook(value: unknown): value is Phonebook {
  if (!isObject(value)) return false;
  const { version, timestamp, merkle_root, total_clients, connected_clients, clients } = value;
  return (
    version === "2.0" &&
    Number.isSafeInteger(timestamp) &&
    typeof merkle_root === "string" &&
    /^[0-9a-f]{64}$/.test(merkle_root) &&
    Array.isArray(clients) &&
    clients.every(isEntry) &&
    total_clients === clients.length &&
    connected_clients === clients.filter(({ online }) => online).length
  );
}

function isEntry(value: unknown, id: number): value is PhonebookEntry {
  return (
    isObject(value) &&
    value.id === String(id) &&
    typeof value.name === "string" &&
    typeof value.public_key === "string" &&
    isValidPublicKey(value.public_key) &&
    typeof value.is_self === "boolean" &&
    typeof value.online === "boolean"
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
